"""Shifts the wall clock of some processes of a block, by a library that they preload (`clock_shift.c`).

The machine's C compiler makes it: no root, no other process.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shift.c")
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


def shift_clock(path: Path, seconds: int) -> None:
    """Shift the clock of all that have preloaded the library with this file, which each of them maps."""
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("=q", seconds))
