"""`GenServer` and `sys`: a process with a mailbox, calls, casts and a state.

What belongs here: OTP's gen_server and what looks into one. Floors: may use `core`.
"""
