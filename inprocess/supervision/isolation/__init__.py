"""Where a call runs: on the loop, in a thread or in a process of its own.

What belongs here: workers, what crosses to them, how they are limited and ended. Floors: may use `core`.
"""
