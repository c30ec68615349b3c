"""From `delay` to the broker: how a task sends its jobs, and what happens to one that is given up.

What belongs here: the task's own side. Not: the worker's (`worker`). Floors: may use `jobs`, `redis`,
`limits`.
"""
