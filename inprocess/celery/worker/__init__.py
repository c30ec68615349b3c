"""Celery's worker in this process: consumer, pool, jobs, timers, and the preparation of tasks.

Belongs here: what happens to a message from its delivery to its acknowledgement. Does not belong here: the
tree that the worker lives in, see `celery.tree`. May import `attach`, `broker`, `celery_internals`, and
`core`, `isolation`, `servers`, `tasks` of `inprocess.supervision`.
"""
