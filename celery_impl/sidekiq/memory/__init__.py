"""The sets, locks and limits of an app in the memory of its process, where its broker is in memory too.

That is an app that `inprocess.celery` runs, or one on `memory://`: in development, in tests, on one
machine. The
rest of `Sidekiq(app)` is as on Redis; nothing here survives the process. Does not belong here: test modes,
which run nothing by themselves (`testing`). Floors: may use `jobs` and `redis`.
"""
