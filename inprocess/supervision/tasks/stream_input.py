"""Source: takes inputs one at a time, from an iterable or an async iterable, without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Generic, TypeVar

In = TypeVar("In")


class Source(Generic[In]):
    """`take` returns the next input. `is_exhausted` is true once there are no more.

    `wake` is called when an input arrives that `take` did not have. `take` raises the iterator's errors.
    """

    __slots__ = ("_coming", "_inputs", "_later", "_wake", "is_exhausted")

    def __init__(self, inputs: Iterable[In] | AsyncIterable[In], wake: Callable[[], object]) -> None:
        self._later: AsyncIterator[In] | None = None
        self._inputs: Iterator[In] = iter(())
        if isinstance(inputs, AsyncIterable):
            self._later = aiter(inputs)
        else:
            self._inputs = iter(inputs)
        self._wake = wake
        self._coming: asyncio.Task[tuple[In] | None] | None = None
        self.is_exhausted = False

    def take(self) -> tuple[In] | None:
        """Return the next input in a tuple; None if there is none now."""
        if self.is_exhausted:
            return None
        if self._later is not None:
            return self._take_later(self._later)
        for value in self._inputs:
            return (value,)
        self.is_exhausted = True
        return None

    def close(self) -> None:
        """Stop waiting for an input."""
        if self._coming is not None:
            self._coming.cancel()

    def _take_later(self, inputs: AsyncIterator[In]) -> tuple[In] | None:
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_task(_next(inputs))
            self._coming.add_done_callback(lambda _task: self._wake())
        if not self._coming.done():
            return None
        coming, self._coming = self._coming, None
        found = coming.result()
        self.is_exhausted = found is None
        return found


async def _next(inputs: AsyncIterator[In]) -> tuple[In] | None:
    try:
        return (await anext(inputs),)
    except StopAsyncIteration:
        return None
