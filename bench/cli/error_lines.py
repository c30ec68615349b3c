"""Errors of the command line: one line on standard error and an exit code, no usage text, no traceback."""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn

import click

from bench.errors import EXIT_INTERRUPTED, BenchError

#: Exit code for what the caller can mend.
EXIT_USAGE: Final = 2


class OneLineErrors(click.Group):
    """Tells what went wrong in one line, without usage text or traceback."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command and exit with its code."""
        try:
            extra["standalone_mode"] = False
            code = super().main(*args, **extra)
        except click.ClickException as error:
            _fail(error.format_message())
        except BenchError as error:
            _fail(str(error))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(EXIT_INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    click.echo(f"queue-or-task: {' '.join(message.split())}", err=True)
    sys.exit(EXIT_USAGE)
