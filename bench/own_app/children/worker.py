"""Celery's own command on the app, its calls recorded: `python -m … worker|beat …`.

As `celery -A shop.celery worker …`, with every option of it. The modules of the app's folder are found
after ours, so that a package of the same name hides none of them.
"""

from __future__ import annotations

import sys

from bench.own_app.children import rebound_app
from bench.own_app.children.loading import AppError
from bench.own_app.children.recording import recorder

#: Exit code for what the person who started the worker can mend.
USAGE_ERROR = 2


def main() -> None:
    """Import the app, listen to its signals, and be Celery."""
    try:
        app = rebound_app.adopted(rebound_app.told())
    except AppError as error:
        sys.stderr.write(f"bench.own_app.children.worker: {error}\n")
        sys.exit(USAGE_ERROR)
    recorder()
    app.start(sys.argv[1:])


if __name__ == "__main__":
    main()
