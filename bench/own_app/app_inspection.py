"""Inspects an app in a child process (`children.describe`): the harness never imports it itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.own_app.children.app_description import AppDescription, ScheduleEntry
from bench.own_app.interpreter import Interpreter

#: Seconds that an app may take to be imported.
IMPORT_WITHIN_S = 60.0


def inspect_app(
    app: str,
    folder: Path,
    calls: Mapping[str, Sequence[Any]],
    *,
    interpreter: Interpreter,
    reach: bool,
    within_s: float = IMPORT_WITHIN_S,
) -> AppDescription:
    """The description of the app; raise BenchError, with one line, for what cannot be run.

    `calls` has, for each task, the [args, kwargs] that must fit its signature. With `reach` the app's own
    broker must answer.
    """
    request = json.dumps({"app": app, "folder": str(folder), "calls": calls, "reach": reach})
    with subprocess.Popen(
        interpreter.command("describe"),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            output, errors = child.communicate(request, timeout=within_s)
        except subprocess.TimeoutExpired as error:
            raise BenchError(
                f"importing {app} took longer than {within_s:g} s: does it wait for a server?"
            ) from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    return _read(app, output, errors, child.returncode)


def _read(app: str, output: str, errors: str, code: int) -> AppDescription:
    try:
        answer = json.loads(output)
    except ValueError as error:
        last = (errors.strip().splitlines() or ["it printed nothing"])[-1]
        raise BenchError(f"importing {app} ended its process with {code}: {last}") from error
    if "error" in answer:
        raise BenchError(answer["error"])
    return AppDescription(**{**answer, "entries": [ScheduleEntry(**entry) for entry in answer["entries"]]})
