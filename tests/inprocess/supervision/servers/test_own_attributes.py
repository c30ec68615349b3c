"""A server's attributes are its author's, whatever their names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import (
    NO_REPLY,
    Caller,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Registry,
    ServerDiedError,
    Supervisor,
    drain,
    snapshot,
    sys,
    whereis,
)
from inprocess.supervision.core.process import BaseProcess
from inprocess.supervision.servers.message_loop import Extra, MessageLoop

#: What servers were made of once.
ONCE = {"_mailbox", "_monitors", "_state", "_task", "process", "supervisor"}
#: What the author overrides, and what the tests themselves call.
API = {
    "call",
    "cast",
    "handle_call",
    "handle_cast",
    "handle_continue",
    "handle_info",
    "continue_with",
    "send_after",
}
#: Every name that the runtime keeps of a server, or shows of it, and what its methods are called.
NAMES = sorted(
    {
        name
        for owner in (MessageLoop, Extra, BaseProcess, GenServer)
        for name in dir(owner)
        if not name.startswith("__") and name not in API
    }
    | ONCE
)


class Own(GenServer):
    """Keeps a value of its own under some name."""

    def init(self, attribute: str, value: object) -> None:
        setattr(self, attribute, value)
        self.__dict__["done"] = []
        self.continue_with("begun")

    def handle_continue(self, argument: Any) -> None:
        self.__dict__["done"].append(argument)

    async def handle_call(self, request: Any, caller: Caller) -> Any:
        await asyncio.sleep(0)
        if request == "later":
            self.send_after(0.0, caller)
            return NO_REPLY
        return getattr(self, request) if isinstance(request, str) else request

    def handle_cast(self, message: Any, /) -> None:
        if isinstance(message, Exception):
            raise message
        self.__dict__["done"].append(message)

    def handle_info(self, message: Any, /) -> None:
        message.reply("at last")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the loop's turns are what brings it about
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(within())


@pytest.mark.parametrize("attribute", NAMES)
def test_an_attribute_of_any_name_is_the_authors(attribute: str, caplog: pytest.LogCaptureFixture) -> None:
    value = object()

    async def test() -> None:
        spec = ChildSpec("own", lambda: Own.start(attribute, value, name="own"))
        async with Supervisor.start([spec], name="tree") as supervisor:
            server = whereis("own")
            assert isinstance(server, Own)
            assert getattr(server, attribute) is value
            assert await server.call(attribute) is value
            assert await server.call("later") == "at last"
            server.cast("told")
            state = await sys.get_state(server)
            assert state == {attribute: value, "done": ["begun", "told"]}
            assert (await sys.get_status(server)).ancestors == ("tree",)
            await sys.suspend(server)
            await sys.resume(server)
            (child,) = snapshot("tree").roots[0].children
            assert (child.id, child.kind, child.name, child.state) == ("own", "Own", "own", "running")
            server.cast(ValueError("its fault"))
            with pytest.raises(ServerDiedError, match="own ended before it replied"):
                await server.call("done")
            await until(lambda: whereis("own") not in {None, server})
            again = whereis("own")
            assert again is not None
            assert supervisor.restarts == 1
            assert await again.call(attribute) is value
            await drain(supervisor, grace_s=1.0)
            assert whereis("own") is None

    with caplog.at_level(logging.CRITICAL + 1, "inprocess"):
        run(test)


@pytest.mark.parametrize("attribute", NAMES)
def test_such_a_server_is_found_restarted_and_stopped_under_any_supervisor(
    attribute: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with DynamicSupervisor.start() as supervisor, Registry.start("unique") as registry:
            spec = ChildSpec("own", lambda: Own.start(attribute, 7, name=registry.via("key")))
            server = await supervisor.start_child(spec)
            assert isinstance(server, Own)
            assert registry.whereis("key") is server
            assert supervisor.which_children() == [("own", server)]
            server.cast(ValueError("its fault"))
            await until(lambda: registry.whereis("key") not in {None, server})
            again = registry.whereis("key")
            await supervisor.terminate_child(again)
            assert registry.whereis("key") is None
            assert supervisor.count == 0

    with caplog.at_level(logging.CRITICAL + 1, "inprocess"):
        run(test)


def test_the_names_keep_their_meaning_where_the_author_has_no_use_for_them() -> None:
    async def test() -> None:
        async with GenServer.start(name="plain") as server:
            assert (server.name, server.exit, server.parent) == ("plain", None, None)
            assert server.loop is asyncio.get_running_loop()
            assert server.is_here
            assert server.mailbox_depth == 0
            ends: list[object] = []
            server.monitor(ends.append)
        assert ends == [server.exit]
        assert str(await server.wait()) == "shutdown"

    run(test)


def test_a_method_of_the_authors_by_a_name_that_the_runtime_uses_is_never_called_by_it() -> None:
    def refuse(self: object, *_: object) -> None:
        raise AssertionError(self)

    private = [
        "_abandon", "_ask", "_begin", "_bind", "_callers", "_cancelled", "_check", "_complete", "_dispatch",
        "_end", "_finish", "_give_task", "_go_on", "_handle", "_handle_all", "_handle_some", "_initialise",
        "_leave", "_leave_after", "_next", "_own_context", "_post", "_rest", "_send", "_start_failed",
        "_step", "_task_ended", "_there", "_waiting", "_wake", "begin", "dispatch", "more", "post", "refuse",
    ]  # fmt: skip

    class Refusing(Own):
        pass

    for name in private:
        setattr(Refusing, name, refuse)

    async def test() -> None:
        async with Supervisor.start([ChildSpec("own", lambda: Refusing.start("x", 1, name="own"))]):
            server = whereis("own")
            assert server is not None
            assert await server.call("x") == 1
            assert await server.call("later") == "at last"
            server.cast("told")
            assert (await sys.get_state(server))["done"] == ["begun", "told"]

    run(test)
