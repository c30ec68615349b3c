"""Work at intervals: `Periodic` on a grid with its policies, and `FixedDelay`.

Belongs here: when a run starts, and what becomes of late and overlapping ticks. Does not belong here: the
run itself, which is a child of a TaskSupervisor. May import `core`, `lifecycle` and `tasks`.
"""
