"""The web app that hosts a side, as a program of its own: `python -m bench.app`.

What belongs here: what runs inside the app's process: the builds, the loop's lag, the jobs that faults
need. Not: what starts the app or talks to it (`stack`). Floors: may use `ledger`, `process` and `plan`'s
values.
"""
