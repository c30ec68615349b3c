"""What the harness puts into the names of jobs that are no request of the load.

A job's name begins with its block's, so `<block>-probe-…` and `<block>-odd-…` are found by text alone.
"""

from __future__ import annotations

#: In the name of every job that only shows that a side is up: it is neither counted nor struck.
PROBE = "-probe-"
#: In the name of every job that a fault needs and no scenario has.
MARK = "-odd-"
#: Behind the name of a job whose argument the caller changed after the hand-over.
CHANGED = "-changed"
#: Behind the name of what follows a job in a chain, by `link` or as a chord's callback.
NEXT = "-next"
