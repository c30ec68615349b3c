"""What the fault jobs do, on whichever side.

| kind    | options       | what it does before it sends its key to the CRM                   |
|---------|---------------|-------------------------------------------------------------------|
| plain   | seconds       | sleeps                                                            |
| poison  |               | kills its own process with SIGKILL                                |
| crash   |               | raises at every attempt                                           |
| hog     | seconds       | uses one core                                                     |
| gil     | seconds       | holds the interpreter's lock, as an extension may that never lets go |
| hungry  | mb, seconds   | allocates this much memory and holds it                           |
| exhaust | mb            | takes memory up to a limit of so much more, where there is none   |
| big     | mb            | has an argument of this size                                      |
| mutable |               | sends the key that its argument holds when the job runs           |
| handle  |               | has an argument that cannot be serialised                         |
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from bench.ledger.job_names import NEXT
from scenarios import crm
from scenarios.users import User

KINDS = ("plain", "poison", "crash", "hog", "gil", "hungry", "exhaust", "big", "mutable", "handle")
#: Behind the key of a chord's other part.
PART = "-part"
#: What a canvas of a queue has beside the job itself, by its name in the option `as`.
CANVASES = {"chain": (NEXT,), "link": (NEXT,), "chord": (PART, NEXT)}
#: Bytes of a megabyte, and of a page of memory.
MB = 1_000_000
PAGE = 4096


class FaultJobError(RuntimeError):
    """The error of the kind `crash`."""


def act(kind: str, options: Mapping[str, Any]) -> None:
    """Do what the kind says; blocks."""
    seconds = float(options.get("seconds", 0))
    if kind == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "crash":
        raise FaultJobError("a job of the kind crash")
    elif kind == "hog":
        burn(seconds)
    elif kind == "gil":
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # a call that keeps the lock
    elif kind == "hungry":
        memory = bytearray(int(options["mb"]) * MB)
        memory[::PAGE] = b"x" * len(range(0, len(memory), PAGE))  # touched, or the kernel gives no page
        time.sleep(seconds)
    elif kind == "exhaust":
        exhaust(int(options["mb"]))
    elif kind == "plain":
        time.sleep(seconds)


def exhaust(spare_mb: int) -> NoReturn:
    """Take memory until there is none; raise MemoryError.

    The process may have so much more than now, as with `ulimit -v`; the limit is taken back at the end.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare_mb * MB, before[1]))
    try:
        taken: list[bytearray] = []
        while True:
            taken.append(bytearray(MB))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def burn(seconds: float) -> None:
    """Keep one core busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def send_key(key: str) -> None:
    """Send the key to the CRM, which writes the effect."""
    crm.create_contact(customer(key))


def customer(key: str) -> User:
    """A user with this id."""
    return User(
        id=key,
        name="Fault",
        email=f"{key}@fault.example",
        birthday=date(1990, 5, 17),
        address="1 Fault Street",
    )


def keys(key: str, options: Mapping[str, Any]) -> list[str]:
    """The key of the job and those of the jobs that are handed over with it."""
    return [key, *(f"{key}{suffix}" for suffix in CANVASES.get(options.get("as", ""), ()))]


def payload(kind: str, key: str, options: Mapping[str, Any]) -> Any:
    """The argument of a kind beside its key."""
    if kind == "big":
        return "x" * (int(options["mb"]) * MB)
    if kind == "handle":
        return time.sleep  # a function: by reference it works, as text it does not
    return {"key": key}
