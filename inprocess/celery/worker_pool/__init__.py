"""A pool for real Celery workers that runs coroutine tasks on an event loop: `celery worker -P aio -c 500`.

Belongs here: the pool, the loop's thread and one run of a task in them. Does not belong here: the worker of
`run_in_process`, see `worker`, which lives on the app's own loop. May import `worker`, `celery_internals` and
the runtime's `core`.
"""
