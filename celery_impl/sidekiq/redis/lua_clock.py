"""The time that a Lua script goes by: the server's clock, unless the caller passes one.

Each script that begins with `CLOCK_MS` or `CLOCK_S` takes `time_argument(now)` as its first argument. Tests
pass a time; in production it is "", so that the clocks of workers and senders do not matter.
"""

from __future__ import annotations

from typing import Final

_CLOCK: Final = """
local function clock()
    if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
    local time = redis.call('TIME')
    return %s
end
"""
#: In Lua: `clock()` returns whole milliseconds since 1970.
CLOCK_MS: Final = _CLOCK % "time[1] * 1000 + math.floor(time[2] / 1000)"
#: In Lua: `clock()` returns seconds since 1970, with their fraction.
CLOCK_S: Final = _CLOCK % "time[1] + time[2] / 1000000"


def time_argument(now: float | None) -> str:
    """Return the first argument of a script with a clock; None stands for the server's time."""
    return "" if now is None else repr(now)
