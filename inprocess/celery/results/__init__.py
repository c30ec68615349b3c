"""Results in memory: the backend, chords, and `await result(...)`.

Belongs here: how results are kept and waited for. Does not belong here: how they are made, see `worker`. May
import `celery_internals` and `inprocess.supervision.core`.
"""
