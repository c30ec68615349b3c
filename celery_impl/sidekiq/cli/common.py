"""What all commands share: the app, errors in one line with the next step, tables and JSON."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import click
import redis
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.api import DeadSet, JobSet, NoSidekiqError, RetrySet, ScheduledSet, UnreadableError
from celery_impl.sidekiq.jobs.broker_support import RabbitMQError

#: The names of the sets on the command line.
SETS: Final[dict[str, type[JobSet]]] = {"retries": RetrySet, "scheduled": ScheduledSet, "dead": DeadSet}
#: Seconds of the units in which a table shows a time.
UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the app as its first argument, and people one line for an error."""

    @functools.wraps(function)
    def call(**options: Any) -> Any:
        try:
            return function(click.get_current_context().obj.app, **options)
        except (OperationalError, redis.RedisError, OSError) as error:
            stop(
                f"the broker does not answer ({error}): see that it runs and is the app's", os.EX_UNAVAILABLE
            )
        except NoSidekiqError as error:
            stop(f"{error}; see that -A names that app", os.EX_CONFIG)
        except RabbitMQError as error:
            stop(str(error), os.EX_CONFIG)
        except UnreadableError as error:
            stop(str(error), 1)

    return call


def stop(text: str, code: int = 1) -> NoReturn:
    """End the command with one line on standard error."""
    click.echo(f"sidekiq: {text}", err=True)
    raise SystemExit(code)


def show(document: Any) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document, default=repr))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, each column as wide as its widest cell."""
    lines = [tuple(headings), *(tuple(map(_cell, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def done(word: str, count: int, *, as_json: bool) -> None:
    """Say what was done to how many jobs."""
    if as_json:
        show({word: count})
    else:
        click.echo(f"{word} {jobs(count)}")


def jobs(count: int) -> str:
    """So many jobs, in words."""
    return f"{count} {'job' if count == 1 else 'jobs'}"


def distance(at: float | None, *, now: float | None = None) -> str:
    """Return a time for people, seen from now: `in 5 min`, `3 h ago`."""
    if at is None:
        return ""
    seconds = at - (time.time() if now is None else now)
    unit, size = next((found for found in UNITS if abs(seconds) >= found[1]), UNITS[-1])
    count = f"{abs(seconds) / size:.0f} {unit}"
    return f"in {count}" if seconds > 0 else f"{count} ago"


def _cell(value: object) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
