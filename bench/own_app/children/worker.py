"""Celery's own command on the app, its calls recorded: `python -m … worker|beat …`.

As `celery -A shop.celery worker …`, with every option of it. The modules of the app's folder are found
after ours, so that a package of the same name hides none of them.
"""

from __future__ import annotations

import sys

from bench.own_app.children import rebound_app
from bench.own_app.children.loading import AppError
from bench.own_app.children.recording import recorder
from bench.process.signals import exit_with_usage_error


def main() -> None:
    """Import the app, listen to its signals, and be Celery."""
    try:
        app = rebound_app.load_app(rebound_app.from_environment())
    except AppError as error:
        exit_with_usage_error("bench.own_app.children.worker", str(error))
    recorder()
    app.start(sys.argv[1:])


if __name__ == "__main__":
    main()
