"""What the fault jobs do, on whichever side.

| kind    | options       | what it does before it sends its key to the CRM                   |
|---------|---------------|-------------------------------------------------------------------|
| plain   | seconds       | sleeps                                                            |
| poison  |               | kills its own process with SIGKILL                                |
| crash   |               | raises at every attempt                                           |
| hog     | seconds       | uses one core                                                     |
| gil     | seconds       | holds the interpreter's lock, as an extension may that never lets go |
| hungry  | mb, seconds   | allocates this much memory and holds it                           |
| big     | mb            | has an argument of this size                                      |
| mutable |               | sends the key that its argument holds when the job runs           |
| handle  |               | has an argument that cannot be serialised                         |
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from datetime import date
from typing import Any

from scenarios import crm
from scenarios.users import User

KINDS = ("plain", "poison", "crash", "hog", "gil", "hungry", "big", "mutable", "handle")
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
    elif kind == "plain":
        time.sleep(seconds)


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


def payload(kind: str, key: str, options: Mapping[str, Any]) -> Any:
    """The argument of a kind beside its key."""
    if kind == "big":
        return "x" * (int(options["mb"]) * MB)
    if kind == "handle":
        return time.sleep  # a function: by reference it works, as text it does not
    return {"key": key}
