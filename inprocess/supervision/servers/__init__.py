"""`GenServer`: a process with state that handles one message at a time.

Belongs here: handlers, the message loop, calls and their deadlines, crash logs, and `sys`. Does not belong
here: restarts, see `supervisors`; servers without a mailbox, see `periodic`. May import `core` and
`lifecycle`.
"""
