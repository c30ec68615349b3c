"""What runs in child processes beside the user's Celery app: it is imported there and nowhere else.

What belongs here: loading, turning to the run's broker, recording, hosting. Not: what the harness knows of
the app (`own_app`). Floors: may use `scenarios.ledger` and `bench.hooks`.
"""
