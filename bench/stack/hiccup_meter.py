"""The hiccup meter: a 1 ms sleeper beside every block, which measures the delays of the machine itself.

Like jHiccup on the JVM, a long stall counts once for every 1 ms sleep that it covers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

#: Nanoseconds of one sleep.
SLEEP_NS = 1_000_000


def covered(late_ns: int) -> list[int]:
    """The lateness of every sleep that a stall of `late_ns` covers, longest first, in ns.

    A sleeper that was due each millisecond and stalled for 3.5 ms would have measured 3.5, 2.5,
    1.5 and 0.5 ms; measuring only the first hides the rest (coordinated omission).
    """
    return list(range(late_ns, 0, -SLEEP_NS)) or [0]


def measure(start_ns: int, seconds: float) -> list[int]:
    """Sleep 1 ms at a time from `start_ns` (monotonic) for `seconds`; return each lateness in ns."""
    end_ns = start_ns + int(seconds * 1e9)
    time.sleep(max(0, start_ns - time.monotonic_ns()) / 1e9)
    late: list[int] = []
    while (before := time.monotonic_ns()) < end_ns:
        time.sleep(SLEEP_NS / 1e9)
        late.extend(covered(max(0, time.monotonic_ns() - before - SLEEP_NS)))
    return late


def main() -> None:
    """Measure one window and write `hiccup.json` into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start-at", type=int, required=True, help="monotonic nanoseconds")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    late_ms = np.asarray(measure(options.start_at, options.seconds)) / 1e6
    summary = {
        "p50_ms": np.quantile(late_ms, 0.5),
        "p99_ms": np.quantile(late_ms, 0.99),
        "max_ms": late_ms.max(),
    }
    target = options.folder / "hiccup.json"
    target.write_text(json.dumps({name: round(float(value), 4) for name, value in summary.items()}))


if __name__ == "__main__":
    main()
