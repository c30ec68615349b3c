"""`python -m bench.run.ping_workers SECONDS`: exit code 0 if any Celery worker answers a ping within so long.

A program of its own: `celery_impl.app` is configured for one side, by its environment, when it is imported.
"""

from __future__ import annotations

import sys

from celery_impl.app import app


def main() -> int:
    """Ping once, and return the exit code."""
    return int(not app.control.inspect(timeout=float(sys.argv[1]), limit=1).ping())


if __name__ == "__main__":
    sys.exit(main())
