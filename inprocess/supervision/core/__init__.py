"""What everything else in `supervision` stands on.

Here: the clock, exits and restarts, the scheduler, names, the base of all processes, telemetry, and
what shows values without their secrets. Not here: any kind of process. It imports the standard
library alone.
"""
