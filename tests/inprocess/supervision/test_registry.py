"""Registry: keys, owners, and that no entry outlives its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from inprocess.supervision.core.errors import AlreadyStartedError, StartError
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN
from inprocess.supervision.core.names import whereis
from inprocess.supervision.core.process import Ending
from inprocess.supervision.registry import Entry, Registry
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor


class Echo(GenServer):
    def handle_call(self, request: Any, _caller: Any, /) -> Any:
        return request


def with_registry(keys: Literal["unique", "duplicate"]) -> Callable[[Any], Callable[[], None]]:
    """Run an async test with a registry, which ends after it."""

    def decorate(test: Callable[[Registry], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        async def run() -> None:
            async with Registry.start(keys) as registry:
                await test(registry)

        def wrapped() -> None:
            asyncio.run(run())

        return wrapped

    return decorate


@with_registry("unique")
async def test_a_unique_key_has_one_owner_until_that_ends(registry: Registry) -> None:
    first, second = Ending(), Ending()
    registry.register("key", first, value=1)
    with pytest.raises(AlreadyStartedError, match="'key'"):
        registry.register("key", second)
    with pytest.raises(AlreadyStartedError):
        registry.register("key", first)
    first._end(NORMAL)
    assert registry.lookup("key") == []
    registry.register("key", second)
    assert registry.whereis("key") is second


@with_registry("duplicate")
async def test_a_duplicate_key_has_many_entries_of_many_owners_and_of_the_same(registry: Registry) -> None:
    one, two = Ending(), Ending()
    registry.register("topic", one, 1)
    registry.register("topic", two, 2)
    registry.register("topic", one, 3)
    told: list[Entry] = []
    assert registry.dispatch("topic", told.extend) == 3
    assert told == [Entry(one, 1), Entry(two, 2), Entry(one, 3)]
    one._end(SHUTDOWN)
    assert registry.lookup("topic") == [Entry(two, 2)]


@with_registry("duplicate")
async def test_an_owner_is_not_found_by_what_hears_of_its_end_before_the_registry_does(
    registry: Registry,
) -> None:
    ended, living = Ending(), Ending()
    found: list[Any] = []
    ended.monitor(lambda _exit: found.extend([registry.lookup("key"), registry.whereis("key")]))
    ended.monitor(lambda _exit: found.extend([registry.keys(ended), registry.entries()]))
    registry.register("key", ended)
    registry.register("key", living)
    assert registry.whereis("key") is ended
    ended._end(NORMAL)
    assert found == [[Entry(living)], living, [], [("key", Entry(living))]]


@with_registry("unique")
async def test_a_key_is_free_for_what_hears_of_its_owners_end_before_the_registry_does(
    registry: Registry,
) -> None:
    ended, next_owner = Ending(), Ending()
    ended.monitor(lambda _exit: registry.register("key", next_owner))
    registry.register("key", ended)
    ended._end(NORMAL)
    assert registry.lookup("key") == [Entry(next_owner)]


@with_registry("duplicate")
async def test_a_dispatch_to_nobody_calls_nothing(registry: Registry) -> None:
    assert registry.dispatch("nobody", lambda _: pytest.fail("called")) == 0


@with_registry("duplicate")
async def test_unregister_takes_out_all_entries_of_that_owner_under_that_key_only(registry: Registry) -> None:
    one, two = Ending(), Ending()
    for owner, key in ((one, "a"), (one, "a"), (one, "b"), (two, "a")):
        registry.register(key, owner)
    assert registry.unregister("a", one)
    assert not registry.unregister("a", one)
    assert registry.lookup("a") == [Entry(two)]
    assert registry.keys(one) == ["b"]
    assert registry.count == 2


@with_registry("duplicate")
async def test_a_value_is_updated_in_place(registry: Registry) -> None:
    owner, other = Ending(), Ending()
    registry.register("a", owner, 1)
    registry.register("a", other, 5)
    assert registry.update("a", owner, lambda value: value + 1) == 2
    assert registry.lookup("a") == [Entry(owner, 2), Entry(other, 5)]
    with pytest.raises(KeyError):
        registry.update("b", owner, lambda value: value)


@with_registry("unique")
async def test_a_via_name_finds_the_server_and_ends_with_it(registry: Registry) -> None:
    name = registry.via(("room", 7), value="seats")
    async with Echo.start(name=name) as server:
        assert server.name == "Registry[('room', 7)]"
        assert registry.lookup(("room", 7)) == [Entry(server, "seats")]
        assert whereis(name) is server
        with pytest.raises(AlreadyStartedError):
            Echo.start(name=registry.via(("room", 7)))
        assert await server.call("hello") == "hello"
    assert whereis(name) is None
    assert registry.count == 0


def test_a_supervised_server_is_found_by_its_via_name_after_a_restart() -> None:
    class Fragile(GenServer):
        def handle_cast(self, message: Any, /) -> None:
            raise RuntimeError(message)

    async def main() -> None:
        async with Registry.start("unique", name="rooms") as rooms:
            name = rooms.via("room")
            async with Supervisor.start([ChildSpec("room", lambda: Fragile.start(name=name))]):
                first = whereis(name)
                assert isinstance(first, Fragile)
                first.cast("crash")
                await first.wait()
                while (second := whereis(name)) is None:  # noqa: ASYNC110 - each turn the supervisor may act
                    await asyncio.sleep(0)
                assert second is not first

    asyncio.run(main())


@with_registry("duplicate")
async def test_a_duplicate_key_is_no_name(registry: Registry) -> None:
    with pytest.raises(ValueError, match="only a unique key can be a name"):
        registry.via("key")


def test_any_kind_of_text_is_a_name() -> None:
    class Names(StrEnum):
        ECHO = "echo"

    async def main() -> None:
        async with Echo.start(name=Names.ECHO) as server:
            assert whereis("echo") is whereis(Names.ECHO) is server

    asyncio.run(main())


@with_registry("unique")
async def test_an_owner_that_has_ended_is_not_registered(registry: Registry) -> None:
    owner = Ending()
    owner._end(NORMAL)
    with pytest.raises(StartError, match="has ended"):
        registry.register("key", owner)


def test_a_registry_that_ended_is_empty_and_takes_nothing() -> None:
    async def main() -> None:
        registry = Registry.start("unique")
        owner = Ending()
        registry.register("key", owner)
        await registry.stop()
        assert registry.lookup("key") == []
        with pytest.raises(StartError, match="has ended"):
            registry.register("other", owner)
        owner._end(NORMAL)  # its monitor finds nothing to do

    asyncio.run(main())


def test_a_registry_of_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'unique' or 'duplicate'"):
        Registry.start("other")  # type: ignore[arg-type]  # the point of the test


@with_registry("unique")
async def test_another_thread_registers_looks_and_dispatches(registry: Registry) -> None:
    owner = Ending()

    def elsewhere() -> int:
        registry.register("key", owner, 1)
        registry.update("key", owner, lambda value: value + 1)
        seen = registry.lookup("key")[0].value + registry.dispatch("key", len)
        assert registry.unregister("key", owner)
        return int(seen)

    assert await asyncio.to_thread(elsewhere) == 3
    assert registry.count == 0


@settings(max_examples=50, stateful_step_count=30, deadline=None)
class Model(RuleBasedStateMachine):
    """A registry beside a plain list of (key, owner, value)."""

    keys = st.sampled_from(["a", "b", "c"])
    owners = st.integers(0, 3)

    @initialize(kind=st.sampled_from(["unique", "duplicate"]))
    def start(self, kind: Literal["unique", "duplicate"]) -> None:
        self.unique = kind == "unique"
        self.loop = asyncio.new_event_loop()

        async def make() -> Registry:
            return Registry.start(kind)

        self.registry = self.loop.run_until_complete(make())
        self.living = [Ending() for _ in range(4)]
        self.model: list[tuple[str, Ending, int]] = []

    @rule(key=keys, k=owners, value=st.integers())
    def register(self, key: str, k: int, value: int) -> None:
        owner = self.living[k]
        if self.unique and any(known == key for known, _, _ in self.model):
            with pytest.raises(AlreadyStartedError):
                self.registry.register(key, owner, value)
        else:
            self.registry.register(key, owner, value)
            self.model.append((key, owner, value))
        self.agree()

    @rule(key=keys, k=owners)
    def unregister(self, key: str, k: int) -> None:
        left = [entry for entry in self.model if entry[:2] != (key, self.living[k])]
        assert self.registry.unregister(key, self.living[k]) == (len(left) < len(self.model))
        self.model = left
        self.agree()

    @precondition(lambda self: self.model)
    @rule(k=owners)
    def end(self, k: int) -> None:
        ended, self.living[k] = self.living[k], Ending()
        self.model = [entry for entry in self.model if entry[1] is not ended]
        ended._end(NORMAL)
        assert self.registry.keys(ended) == []
        self.agree()

    def agree(self) -> None:
        for key in ("a", "b", "c"):
            expected = [Entry(owner, value) for known, owner, value in self.model if known == key]
            assert self.registry.lookup(key) == expected
            assert self.registry.whereis(key) is (expected[0].owner if expected else None)
        for owner in self.living:
            assert set(self.registry.keys(owner)) == {key for key, known, _ in self.model if known is owner}
        assert self.registry.count == len(self.registry.entries()) == len(self.model)

    def teardown(self) -> None:
        self.registry.shutdown()
        self.loop.close()


TestARegistryAgreesWithAListOfEntries = Model.TestCase


@with_registry("duplicate")
async def test_entries_are_selected_by_key_owner_and_value(registry: Registry) -> None:
    async with Echo.start() as one, Echo.start() as other:
        registry.register("news", one, 1)
        registry.register("news", other, 2)
        registry.register("sport", one, 3)
        assert registry.select(lambda key, _entry: key == "sport") == [("sport", Entry(one, 3))]
        assert registry.select(lambda _key, entry: entry.owner is one and entry.value < 3) == [
            ("news", Entry(one, 1))
        ]
        assert await asyncio.to_thread(registry.select, lambda _key, entry: entry.value > 1) == [
            ("news", Entry(other, 2)),
            ("sport", Entry(one, 3)),
        ]
    assert registry.select(lambda _key, _entry: True) == []


@with_registry("unique")
async def test_a_registry_keeps_values_of_its_own_apart_from_its_entries(registry: Registry) -> None:
    registry.put_meta("policy", {"max": 3})
    registry.put_meta(("a", 1), None)
    assert (registry.meta("policy"), registry.meta(("a", 1), 7)) == ({"max": 3}, None)
    assert (registry.meta("no such"), registry.meta("no such", 7)) == (None, 7)
    registry.delete_meta("policy")
    registry.delete_meta("policy")
    assert (registry.meta("policy"), registry.entries(), registry.count) == (None, [], 0)
