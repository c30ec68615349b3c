"""The command `queue-or-task`, and how it starts its own processes.

The packages of this project have plain names, such as `bench` and `reports`. The caller's project may have
packages with the same names, in the working directory or on PYTHONPATH. A process that starts here imports
ours from the folder of this file, whatever else is on its path:

    python -P /…/queue_or_task/__init__.py bench.load.generator --plan plan.json     # as `python -m`

This file imports the standard library alone: it also runs where an extra is not installed. Beside it lies
what joins the rooms in an app of yours: `handover`, from a journal to Celery.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
NAME = "queue_or_task"
PACKAGES: tuple[str, ...] = ("scenarios", "inprocess", "celery_impl", "bench", "reports")
#: Exit code for an error that the caller can fix.
EXIT_USAGE = 2
INSTALL = "pip install 'queue-or-task[bench]'"
INSTALL_JOURNAL = "pip install 'queue-or-task[journal]'"
INSTALL_CELERY = "pip install 'queue-or-task[journal,celery]'"


class OwnPackages:
    """A finder for `sys.meta_path` that looks for packages of ours in ROOT alone."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a top-level package of ours; None for anything else."""
        if path is not None or name not in {NAME, *PACKAGES}:
            return None
        return PathFinder.find_spec(name, [str(ROOT)], target)


def module_command(module: str, *options: str) -> list[str]:
    """The command that runs a module as `python -m` does, and finds our packages in ROOT.

    A process that imports the code of the user's app starts otherwise: see `bench.own_app.interpreter`.
    """
    return [sys.executable, "-P", str(Path(__file__).resolve()), module, *options]


def __getattr__(name: str) -> object:
    """`kombu_serializer`: what kombu loads of each package that names a serializer, when it is imported.

    kombu has no such entry point for transports, so this one makes `inprocess://` known, by the name of
    its module alone. What it returns is JSON under another name, which nobody asks for.
    """
    if name != "kombu_serializer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kombu.transport import TRANSPORT_ALIASES  # late: only kombu comes this way

    TRANSPORT_ALIASES.setdefault("inprocess", "inprocess.celery.broker.kombu_transport:Transport")
    return json.dumps, json.loads, "application/x-queue-or-task", "utf-8"


def main() -> None:
    """Run the command line; without its dependencies, say in one line how to install them."""
    sys.meta_path.insert(0, OwnPackages())
    is_journal = sys.argv[1:2] == ["journal"]
    try:
        if is_journal:  # of an app that runs in production, where nothing else is installed
            from queue_or_task.move_command import journal  # late: needs the finder, and click

            journal(sys.argv[2:], prog_name="queue-or-task journal")
        else:
            from bench.cli import commands  # late: needs the finder, and the dependencies of `bench`

            commands.main(prog_name="queue-or-task")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in PACKAGES:
            raise
        if is_journal:
            install = (
                INSTALL_CELERY if error.name.partition(".")[0] in {"celery", "kombu"} else INSTALL_JOURNAL
            )
        else:
            install = INSTALL
        sys.stderr.write(f"queue-or-task: {error.name} is not installed: {install}\n")
        sys.exit(EXIT_USAGE)


def _run_module(module: str, *options: str) -> None:
    sys.meta_path.insert(0, OwnPackages())
    sys.argv = [module, *options]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_module(*sys.argv[1:])
