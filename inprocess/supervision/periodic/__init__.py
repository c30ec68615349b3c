"""Work on a grid: `Periodic`, its policies, and the naive way.

Floors: may use `core`, `isolation`, `servers`.
"""
