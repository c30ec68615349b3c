"""Any Celery app in its own process, supervised: no broker, no worker, its tasks unchanged.

    from inprocess.celery import run_in_process

Needs the `celery` extra. See `run` for the ways in, docs/celery-without-a-broker.md for what one
keeps and what one loses.
"""

from inprocess.celery.results.awaiting import result
from inprocess.celery.run import InProcess, run_in_process
from inprocess.celery.standby import watch_for_apps

watch_for_apps()

__all__ = ["InProcess", "result", "run_in_process"]
