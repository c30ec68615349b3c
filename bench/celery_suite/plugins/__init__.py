"""The own test suites of Celery's plug-ins: on stock Celery, in-process, and with `Sidekiq(app)`.

    make celery-plugins

What belongs here: which suites (`suites`), what each side makes of a suite's apps (`sides`). The suites
are not ours
and are not kept here: each plug-in's source release is downloaded with pip into .cache. Some releases hold
no tests: for these, `CELERY_PLUGINS_SOURCE` names a folder with a checkout of each, under its name.
"""
