"""What the fault jobs do, on whichever side.

| kind    | options       | what it does before it tells the CRM                              |
|---------|---------------|-------------------------------------------------------------------|
| plain   | seconds       | sleeps                                                            |
| poison  |               | kills its own process with SIGKILL                                |
| crash   |               | raises at once, for ever                                          |
| hog     | seconds       | burns the CPU                                                     |
| hungry  | mb, seconds   | takes so much memory and holds it                                 |
| big     | mb            | takes an argument of that size                                    |
| mutable |               | tells the CRM the key that its argument holds by then             |
| handle  |               | takes an argument that no serialiser knows                        |
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from datetime import date
from typing import Any

from scenarios import crm
from scenarios.users import User

KINDS = ("plain", "poison", "crash", "hog", "hungry", "big", "mutable", "handle")
#: Bytes of a megabyte, and of a page of memory.
MB = 1_000_000
PAGE = 4096


class OddError(RuntimeError):
    """What the kind `crash` raises."""


def act(kind: str, options: Mapping[str, Any]) -> None:
    """Do the oddity; blocks."""
    seconds = float(options.get("seconds", 0))
    if kind == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "crash":
        raise OddError("told to crash")
    elif kind == "hog":
        burn(seconds)
    elif kind == "hungry":
        taken = bytearray(int(options["mb"]) * MB)
        taken[::PAGE] = b"x" * len(range(0, len(taken), PAGE))  # touched, or the kernel gives no page
        time.sleep(seconds)
    elif kind == "plain":
        time.sleep(seconds)


def burn(seconds: float) -> None:
    """Keep one core busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def tell(key: str) -> None:
    """Have the CRM write the effect."""
    crm.create_contact(customer(key))


def customer(key: str) -> User:
    """Somebody with this id."""
    return User(
        id=key, name="Odd", email=f"{key}@odd.example", birthday=date(1990, 5, 17), address="1 Odd Street"
    )


def payload(kind: str, key: str, options: Mapping[str, Any]) -> Any:
    """The argument that a kind takes beside its key."""
    if kind == "big":
        return "x" * (int(options["mb"]) * MB)
    if kind == "handle":
        return time.sleep  # a function: by reference it works, as text it does not
    return {"key": key}
