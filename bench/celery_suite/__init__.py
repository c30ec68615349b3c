"""Celery's own integration suite, run on Celery with Redis and a worker, and on the same app in-process.

    make celery-suite

The suite is not ours and is not kept here: the source release of the installed version is
downloaded with pip into .cache, or taken unpacked from `CELERY_SOURCE`.
"""
