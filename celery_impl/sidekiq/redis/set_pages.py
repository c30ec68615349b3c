"""Reads a set newest first, page by page, while it changes; sees what stays in the set exactly once.

A page begins behind the last entry of the page before: by its place where it is still there, else by where
it would be. So neither what is moved away nor what comes in shifts an entry past the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from celery_impl.sidekiq.redis.sets import Sets

#: Entries that are read at a time.
PAGE: Final = 100

# A set is ordered by score, then by bytes. Lua's own comparison of strings goes by the server's locale.
_PAGE: Final = """
local function before(score, member)
    local cut = tonumber(ARGV[2])
    if score ~= cut then return score > cut end
    local other = ARGV[3]
    for i = 1, math.min(#member, #other) do
        local a, b = string.byte(member, i), string.byte(other, i)
        if a ~= b then return a > b end
    end
    return #member >= #other
end
local low = 0
if ARGV[2] ~= '' then
    local high = redis.call('ZCARD', KEYS[1])
    while low < high do
        local middle = math.floor((low + high) / 2)
        local found = redis.call('ZREVRANGE', KEYS[1], middle, middle, 'WITHSCORES')
        if before(tonumber(found[2]), found[1]) then low = middle + 1 else high = middle end
    end
end
return redis.call('ZREVRANGE', KEYS[1], low, low + ARGV[1] - 1, 'WITHSCORES')
"""


class Pages:
    """Reads the sets of one broker."""

    def __init__(self, sets: Sets) -> None:
        self._prefix = sets.prefix
        self._page = sets.client.register_script(_PAGE)

    def each(self, name: str, *, size: int = PAGE) -> Iterator[tuple[bytes, float]]:
        """Entries and scores of the set, newest first; what comes in meanwhile may be seen or not."""
        score, last = b"", b""
        while True:
            page: list[Any] = self._page(keys=[self._prefix + name], args=[size, score, last])
            for member, at in zip(page[::2], page[1::2], strict=True):
                yield member, float(at)
            if len(page) < 2 * size:
                return
            last, score = page[-2:]
