"""Run any Celery app in its own process, supervised: no broker, no worker process, its tasks unchanged.

    from inprocess.celery import run_in_process

Needs the `celery` extra. See `run` for the ways to start it, and docs/celery-without-a-broker.md for what
is kept and what is lost.
"""

from inprocess.celery.results.awaiting import result
from inprocess.celery.run import InProcess, run_in_process
from inprocess.celery.standby import watch_for_apps

watch_for_apps()

__all__ = ["InProcess", "result", "run_in_process"]
