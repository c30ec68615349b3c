"""Limits on jobs: unique jobs and shared rate limits.

What belongs here: the locks and counters in Redis and how a task asks for them. Floors: may use `jobs`,
`redis`.
"""
