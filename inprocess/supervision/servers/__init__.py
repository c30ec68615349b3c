"""GenServer: a process with state that handles one message at a time, and what looks into one.

Here: calls and their deadlines, the message loop, crash logs, `sys`. Not here: who starts and
restarts servers (`supervisors`), and servers without a mailbox (`periodic`). It may use `core` and
`lifecycle`.
"""
