"""Helpers for tests of code that uses this package.

- `FakeClock`: restart windows, timers and grids pass at once and exactly; `settle` lets a loop react.
- `record_starts`: what was started in a block, with assertions.
- `capture_crashes`: what was crash-logged in a block, with assertions.
- `no_leaks`: nothing that a block started is left at its end; as a fixture, for every test.
"""

from inprocess.testing.clock import FakeClock, FakeTimer, settle
from inprocess.testing.crashes import Crashes, capture_crashes
from inprocess.testing.leaks import LeakError, Leaks, no_leaks
from inprocess.testing.starts import Start, Starts, record_starts

__all__ = [
    "Crashes",
    "FakeClock",
    "FakeTimer",
    "LeakError",
    "Leaks",
    "Start",
    "Starts",
    "capture_crashes",
    "no_leaks",
    "record_starts",
    "settle",
]
