"""Fault 27: the wall clock jumps by 60 s forwards, then 60 s backwards of the truth, then back.

Only the processes of the side and the services jump, by a preloaded library (`clock_shift.c`) that
the machine's C compiler makes: no root, no other process. The broker keeps the true time.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.faults.spec import Expected, Fault
from bench.faults.target import Target
from bench.faults.tick_checker import ticks
from scenarios import jobs

SOURCE = Path(__file__).with_name("clock_shift.c")
#: Seconds of each jump, and until the next.
JUMPS_S = (60, -60, 0)
STAYS_S = 3.0
#: The file with the shift, in the block's folder.
SHIFT = "clock-shift"


def unavailable() -> str:
    """Why the library cannot be made here."""
    return "" if shutil.which("cc") else "needs a C compiler: apt-get install -y gcc"


def preloaded(folder: Path) -> Mapping[str, str]:
    """Make the library and the file with the shift; the variables that load them."""
    folder.mkdir(parents=True, exist_ok=True)
    library, shift = folder / "clock-shift.so", folder / SHIFT
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)  # noqa: S607 - found above
    shift_clock(shift, 0)
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(shift)}


async def strike(target: Target) -> None:
    """Jump, stay, jump the other way, stay, jump back."""
    for jump_s in JUMPS_S:
        shift_clock(target.folder / SHIFT, jump_s)
        await asyncio.sleep(STAYS_S)


def shift_clock(path: Path, seconds: int) -> None:
    """Shift the clock of all that have preloaded the library with this file, which each of them maps."""
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("=q", seconds))


QUEUE = Expected(
    text="beat fires at once or goes silent",
    holds=lambda row: row["missed"] > 0 or row["bursts"] > 0 or row["duplicates"] > 0,
)

FAULT = Fault(
    number=27,
    slug="clock-jumps",
    title="the wall clock jumps ± 60 s",
    strike=strike,
    scenario=jobs.ACCOUNT_SYNC,
    unavailable=unavailable,
    environment=preloaded,
    check=ticks,
    owners=2,
    rate=1.0,
    load_s=20.0,
    expected={
        "inprocess": Expected(
            text="none: its clock is monotonic",
            holds=lambda row: row["missed"] == row["bursts"] == row["duplicates"] == 0,
        ),
        "inprocess-journal": Expected(
            text="none: its clock is monotonic",
            holds=lambda row: row["missed"] == row["bursts"] == row["duplicates"] == 0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
