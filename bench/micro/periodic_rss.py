"""Memory of idle periodic servers, in a process of its own: prints one line of JSON.

python -m bench.micro.periodic_rss [SERVERS]
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path

from inprocess.supervision.periodic.periodic import Periodic

#: Servers by default.
SERVERS = 1_000_000


def resident_bytes() -> int:
    """This process's resident set."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def nothing() -> None:
    """The smallest work."""


async def main(count: int) -> None:
    """Start so many servers and print what each costs."""
    servers: list[Periodic | None] = [None] * count
    Periodic.start(nothing, interval_s=3600.0)
    gc.collect()
    before, began = resident_bytes(), time.process_time()
    for index in range(count):
        servers[index] = Periodic.start(nothing, interval_s=3600.0)
    seconds = time.process_time() - began
    each = (resident_bytes() - before) / count
    report = {"servers": count, "bytes_each": round(each), "start_us_each": round(1e6 * seconds / count, 2)}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else SERVERS))
