"""Runs Celery's command on the app and records its calls: as `celery -A shop.celery worker|beat …`."""

from __future__ import annotations

import sys

from bench.own_app.children import rebound_app
from bench.own_app.children.loading import AppError
from bench.own_app.children.recording import recorder
from bench.process.signals import exit_with_usage_error


def main() -> None:
    """Import the app, record its signals, and run Celery's command line."""
    try:
        app = rebound_app.load_app(rebound_app.from_environment())
    except AppError as error:
        exit_with_usage_error("worker", str(error))
    recorder()
    app.start(sys.argv[1:])
