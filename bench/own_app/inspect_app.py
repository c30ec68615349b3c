"""Ask a child process about an app (`children.describe`): the harness never imports it itself."""

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
from bench.own_app.children.app_description import Answer, Entry
from queue_or_task import module_command

#: Packages of ours that a process which imports the app needs; its own may have every other name.
PACKAGES: tuple[str, ...] = ("bench", "celery_impl", "inprocess", "scenarios")
#: Seconds that an app may take to be imported.
IMPORT_WITHIN_S = 60.0


def ask(
    app: str,
    folder: Path,
    calls: Mapping[str, Sequence[Any]],
    *,
    reach: bool,
    within_s: float = IMPORT_WITHIN_S,
) -> Answer:
    """What the app has; raise BenchError, with one line, for what cannot be run.

    `calls` has [args, kwargs] of some calls of each task. With `reach` its own broker must answer.
    """
    question = json.dumps({"app": app, "folder": str(folder), "calls": calls, "reach": reach})
    with subprocess.Popen(
        module_command("bench.own_app.children.describe", packages=PACKAGES),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            answered, said = child.communicate(question, timeout=within_s)
        except subprocess.TimeoutExpired as error:
            told = f"importing {app} took longer than {within_s:g} s: does it wait for a server?"
            raise BenchError(told) from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    return _read(app, answered, said, child.returncode)


def _read(app: str, answered: str, said: str, code: int) -> Answer:
    try:
        told = json.loads(answered)
    except ValueError as error:
        last = (said.strip().splitlines() or ["nothing was said"])[-1]
        raise BenchError(f"importing {app} ended its process with {code}: {last}") from error
    if "error" in told:
        raise BenchError(told["error"])
    return Answer(**{**told, "entries": [Entry(**entry) for entry in told["entries"]]})
