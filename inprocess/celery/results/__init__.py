"""Results in memory: the backend, chords, and how a caller awaits one."""
