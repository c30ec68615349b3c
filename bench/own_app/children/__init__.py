"""Programs that run in the processes of the user's Celery app; the app is imported there and nowhere else.

What belongs here: loading the app, replacing its broker, recording its calls, hosting it. Not: what the
harness knows of the app (`own_app`). Floors: may use `scenarios.ledger` and `bench.hooks`.
"""
