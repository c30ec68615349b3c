"""Celery's own integration suite, on Celery with Redis and a worker, in-process, and on `Sidekiq(app)`.

    make celery-suite

The suite is not ours and is not kept here: the source release of the installed version is
downloaded with pip into .cache, or taken unpacked from `CELERY_SOURCE`.
"""
