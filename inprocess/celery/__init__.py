"""Any Celery app in its own process, supervised: no broker, no worker, its tasks unchanged.

    from inprocess.celery import run_in_process

Needs the `celery` extra. See `run` for the ways in, docs/celery-without-a-broker.md for what one
keeps and what one loses.
"""

from inprocess.celery.run import InProcess, run_in_process

__all__ = ["InProcess", "run_in_process"]
