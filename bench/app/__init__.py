"""The web app that hosts a side, as a program of its own: `python -m bench.app`.

What belongs here: code of the app's process: the builds, the loop lag meter, the jobs of faults. Not: what
starts the app or sends it requests (`stack`). Floors: may use `ledger`, `process` and `plan`.
"""
