"""One caller of the contract in a process of its own: `python driver.py thread|loop`.

Reads one JSON object a line (`call` and its arguments) and answers with one: `value`, or `error`
with its `type` and `errors`; `returned` is when the call came back, in monotonic ns. In `thread`
each call is made from a plain thread with no event loop in sight; in `loop` from a coroutine of a
loop that hosts the build. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.app import builds
from scenarios import database, users


def calls(build: builds.Build) -> dict[str, Callable[[Any], Any]]:
    """What can be called, by name; each takes one argument and answers with JSON."""
    return {
        "insert": lambda params: _plain(users.create(params)),
        "set_up": lambda user_id: build.account_setup.set_up_user_account(users.get(user_id)),
        "create_user": lambda params: _plain(build.welcome_email.create_user(params)),
        "send_welcome_email": lambda user_id: build.welcome_email.send_welcome_email(users.get(user_id)),
        "user": lambda user_id: _plain(users.get(user_id)),
        "start": build.account_sync.start,
        "stop": build.account_sync.stop,
        "state": lambda owner: _plain(build.account_sync.state(owner)),
    }


def answer(known: dict[str, Callable[[Any], Any]], line: str) -> str:
    """Make the call that the line asks for."""
    asked = json.loads(line)
    try:
        told: dict[str, Any] = {"value": known[asked["call"]](asked["argument"])}
    except Exception as error:  # noqa: BLE001 - told to the test, which knows what to expect
        told = {"error": str(error), "type": type(error).__name__, "errors": getattr(error, "errors", None)}
    return json.dumps({**told, "returned": time.monotonic_ns()}, default=str)


def from_threads(known: dict[str, Callable[[Any], Any]]) -> None:
    """Answer each line from a thread of its own."""
    for line in sys.stdin:
        thread = threading.Thread(target=_print_answer, args=(known, line))
        thread.start()
        thread.join()


async def from_a_loop(build: builds.Build, known: dict[str, Callable[[Any], Any]]) -> None:
    """Answer each line on the loop that hosts the build."""
    async with build.lifespan():
        while line := await asyncio.to_thread(sys.stdin.readline):
            _print_answer(known, line)


def _print_answer(known: dict[str, Callable[[Any], Any]], line: str) -> None:
    sys.stdout.write(answer(known, line) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    return None if value is None else dataclasses.asdict(value)


def main() -> None:
    """Answer until standard input ends."""
    database.create_tables()
    build = builds.load(os.environ["QUEUE_OR_TASK_SIDE"])
    known = calls(build)
    if sys.argv[1] == "loop":
        asyncio.run(from_a_loop(build, known))
    else:
        from_threads(known)


if __name__ == "__main__":
    main()
