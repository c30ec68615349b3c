"""What the commands print: tables, JSON documents, errors in one line with the next step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, NoReturn

import click

from inprocess.journal.model.errors import JournalError, JournalRefusedError
from inprocess.journal.sets import Job

#: Characters of a call and of an error that a table shows.
CALL_WIDTH: Final = 50
ERROR_WIDTH: Final = 60
#: Seconds of the units in which a table shows a time.
UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
#: Exit codes: the journal could not be read or changed; the caller's mistake.
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
#: Exit code after Ctrl-C, as a shell's.
EXIT_INTERRUPTED: Final = 130

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")


class Interruptible(click.Group):
    """Ends with one line and exit code 130 at Ctrl-C, at a question too; click makes 1 of that."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            stop("interrupted: what was changed until then stays so", EXIT_INTERRUPTED)
        except click.Abort as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                click.echo(err=True)
                stop("interrupted: nothing was changed", EXIT_INTERRUPTED)
            raise


def one_line_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make one line and an exit code of an error of the journal."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except JournalRefusedError as error:
            stop(str(error), EXIT_USAGE)
        except JournalError as error:
            stop(str(error), EXIT_FAILED)

    return call


def stop(text: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command with one line on standard error."""
    click.echo(f"journal: {text}", err=True)
    raise SystemExit(code)


def show(document: Any) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, each column as wide as its widest cell."""
    lines = [tuple(headings), *(tuple(map(_cell, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def row_of(job: Job) -> tuple[object, ...]:
    """A job as a line of a table."""
    attempts = f"{job.attempt}/{job.max_attempts}"
    return (
        job.id,
        _cut(job.call, CALL_WIDTH),
        job.queue,
        distance(job.at),
        attempts,
        _cut(job.error or "", ERROR_WIDTH),
    )


def jobs(count: int) -> str:
    """So many jobs, in words."""
    return f"{count} {'job' if count == 1 else 'jobs'}"


def distance(at: float, *, now: float | None = None) -> str:
    """Return a time for people, seen from now: `in 5 min`, `3 h ago`."""
    seconds = at - (time.time() if now is None else now)
    unit, size = next((found for found in UNITS if abs(seconds) >= found[1]), UNITS[-1])
    count = f"{abs(seconds) / size:.0f} {unit}"
    return f"in {count}" if seconds > 0 else f"{count} ago"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _cell(value: object) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
