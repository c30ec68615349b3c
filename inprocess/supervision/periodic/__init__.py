"""Work at intervals: `Periodic` on a grid or by a schedule, with its policies, and `FixedDelay`.

Belongs here: when a run starts, what becomes of late and overlapping ticks, and where the last one is kept.
Does not belong here: the run itself, which is a child of a TaskSupervisor. May import `core`, `lifecycle`
and `tasks`.
"""
