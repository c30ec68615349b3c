"""Checks of the instrument: the harness reports what is known to be true.

What belongs here: the verification against the planted truths (`bench.app.planted`) and the A/A test. Not:
the planted builds. Floors: may use `run`, `blocks` and what lies below.
"""
