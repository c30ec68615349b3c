"""A second opinion on a run: its figures computed again from its event logs, by code of its own.

`make recompute RUN=…` prints every figure that differs. What belongs here follows docs/method.md; it imports
nothing of ours, least of all `bench.measures` and `reports`, so that a fault of theirs cannot hide in both.
"""
