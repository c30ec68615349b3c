"""What every process stands on.

Belongs here: the base of all processes, the scheduler, clock, exits, restarts, names, telemetry, and the
functions that hide secrets. Does not belong here: any kind of process. Imports no other folder.
"""
