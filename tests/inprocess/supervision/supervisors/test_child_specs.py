"""Classes as child specs, and the spec of a child that is there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inprocess import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    NoSuchChildError,
    Supervisor,
    TaskSupervisor,
    whereis,
)
from inprocess.testing import settle


class Cache(GenServer):
    def init(self, size: int = 10, *, kind: str = "lru") -> None:
        self.size, self.kind = size, kind

    def handle_cast(self, message: Any, /) -> None:
        raise message

    def handle_call(self, _request: Any, _caller: Any, /) -> Any:
        return self.size, self.kind


class Ticker(GenServer):
    """Says itself how it is supervised, as with Elixir's `child_spec/1`."""

    @classmethod
    def child_spec(cls, name: str) -> ChildSpec:
        return ChildSpec(f"ticker {name}", lambda: cls.start(name=name), restart="transient")


def test_a_class_is_a_child_spec_and_so_is_a_class_with_arguments() -> None:
    async def main() -> None:
        async with Supervisor.start([Cache, (Ticker, "a"), (Ticker, "b"), TaskSupervisor]) as app:
            children = dict(app.which_children())
            assert list(children) == ["Cache", "ticker a", "ticker b", "TaskSupervisor"]
            assert await children["Cache"].call("size") == (10, "lru")  # type: ignore[union-attr]  # it runs
            assert whereis("b", Ticker) is children["ticker b"]
            added = await app.start_child(ChildSpec("small", lambda: Cache.start(3, kind="ttl")))
            assert await added.call("size") == (3, "ttl")  # type: ignore[union-attr]  # as above
            await app.terminate_child("Cache")
            await app.delete_child("Cache")
            again = await app.start_child((Cache, 5))
            assert await again.call("size") == (5, "lru")  # type: ignore[union-attr]  # as above

    asyncio.run(main())


def test_a_class_that_crashes_is_restarted_with_its_arguments() -> None:
    async def main() -> None:
        async with Supervisor.start([(Cache, 7)]) as app:
            before = dict(app.which_children())["Cache"]
            assert isinstance(before, Cache)
            before.cast(ValueError("oh"))
            await settle()
            after = dict(app.which_children())["Cache"]
            assert isinstance(after, Cache)
            assert after is not before
            assert after.size == 7

    asyncio.run(main())


def test_children_of_a_class_share_one_spec_under_a_dynamic_supervisor() -> None:
    async def main() -> None:
        async with DynamicSupervisor.start() as caches:
            first, second = await caches.start_child(Cache, 1), await caches.start_child(Cache, 2)
            assert isinstance(first, Cache)
            assert isinstance(second, Cache)
            assert (first.size, second.size) == (1, 2)
            assert caches.which_children() == [("Cache", first), ("Cache", second)]
            assert len(caches._specs) == 1

    asyncio.run(main())


@pytest.mark.parametrize("child", [Cache.start, "cache", (), (3,), object])
def test_what_is_no_child_is_refused_with_what_is_expected(child: Any) -> None:
    with pytest.raises(TypeError, match="expected a ChildSpec, a class"):
        Supervisor.start([child])


def test_the_spec_of_a_child_is_found_by_its_id_or_its_process() -> None:
    async def main() -> None:
        async with Supervisor.start([Cache, (Ticker, "a")], name="app") as app:
            spec = app.get_childspec("ticker a")
            assert (spec.id, spec.restart) == ("ticker a", "transient")
            assert app.get_childspec(whereis("a", Ticker) or "") is spec
            assert await asyncio.to_thread(app.get_childspec, "Cache") is app.get_childspec("Cache")
            await app.terminate_child("ticker a")
            assert app.get_childspec("ticker a") is spec  # OTP's: whether it runs or not
            with pytest.raises(NoSuchChildError, match="app has no child 'x'"):
                app.get_childspec("x")
            with pytest.raises(NoSuchChildError, match="app has no child"):
                app.get_childspec(app)

    asyncio.run(main())
