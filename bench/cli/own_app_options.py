"""The options of `run` for an app of your own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--app", default="", metavar="MODULE:APP", help="Your own Celery app, as `celery -A` names it."
    ),
    click.option(
        "--task",
        "tasks",
        multiple=True,
        metavar="NAME[=WEIGHT]",
        help="A task of it to call, with its share of the rate; repeat for more.",
    ),
    click.option(
        "--args",
        multiple=True,
        metavar="JSON",
        help="Its arguments, as '[42]'; one for all tasks or one each.",
    ),
    click.option("--kwargs", multiple=True, metavar="JSON", help="As --args, an object."),
    click.option(
        "--rate", metavar="RATE", help="Calls of all tasks together, as 50/s or 3000/min.  [default: 10/s]"
    ),
    click.option(
        "--deadline", metavar="TIME", help="After which a call is late, as 500ms or 2s.  [default: 5s]"
    ),
    click.option(
        "--workload",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Tasks, rates, arguments and deadlines in a TOML file, in place of --task.",
    ),
    click.option(
        "--beat-every",
        metavar="TIME",
        help="The period of each entry of beat_schedule; without it, entries that run seldom are left out.",
    ),
    click.option(
        "--worker-options",
        default="",
        metavar="TEXT",
        help="Added to `celery worker`, as '-c 8 --pool threads'.",
    ),
    click.option(
        "--python",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The interpreter, or virtual environment, that runs the app.  "
        "[default: the active environment, or .venv in this folder]",
    ),
    click.option(
        "--use-app-broker",
        is_flag=True,
        help="Send through the app's own broker, in a queue of the run's own, instead of one of ours.",
    ),
)


def own_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
