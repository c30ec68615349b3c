"""The TCP fault proxy on real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.world.proxy import Proxy, Toxic, ToxicError

#: Seconds within which anything here must have happened.
PATIENCE_S = 5.0


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **options: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(4 * PATIENCE_S):
                await test(*args, **options)

        asyncio.run(bounded())

    return run


@asynccontextmanager
async def an_echo() -> AsyncIterator[tuple[str, int]]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, proxy: Proxy) -> Client:
        return cls(*await asyncio.open_connection(*proxy.address))

    async def ask(self, data: bytes = b"ping") -> float:
        began = time.monotonic()
        self.writer.write(data)
        assert await self.reader.readexactly(len(data)) == data
        return time.monotonic() - began

    async def is_silent(self, within_s: float = 0.3) -> bool:
        try:
            async with asyncio.timeout(within_s):
                self.writer.write(b"ping")
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def a_proxied_echo() -> AsyncIterator[tuple[Proxy, Client]]:
    async with an_echo() as address, Proxy(address) as proxy:
        client = await Client.to(proxy)
        try:
            yield proxy, client
        finally:
            client.writer.transport.abort()


@on_loop
async def test_without_a_toxic_bytes_pass_and_an_end_is_passed_on() -> None:
    async with a_proxied_echo() as (proxy, client):
        await client.ask(bytes(1_000_000))
        client.writer.write_eof()
        assert await client.reader.read() == b""
        assert proxy.accepted == 1


@on_loop
async def test_latency_delays_each_byte_and_does_not_slow_down() -> None:
    async with a_proxied_echo() as (proxy, client):
        await client.ask()
        proxy.add(Toxic("latency", {"latency": 100}))
        assert 0.1 <= await client.ask() < 0.3
        proxy.add(Toxic("latency", {"latency": 100}, stream="upstream"))
        assert 0.2 <= await client.ask() < 0.5
        assert await client.ask(bytes(2_000_000)) < 1.5, "pieces are under way together"
        proxy.remove("latency_downstream")
        proxy.clear()
        assert await client.ask() < 0.1


@on_loop
async def test_jitter_varies_the_latency_and_the_same_seed_varies_it_alike() -> None:
    async with an_echo() as address:
        taken = []
        for _ in range(2):
            async with Proxy(address, seed=3) as proxy:
                client = await Client.to(proxy)
                proxy.add(Toxic("latency", {"latency": 60, "jitter": 50}))
                taken.append([await client.ask() for _ in range(5)])
                client.writer.close()
        assert max(taken[0]) - min(taken[0]) > 0.01
        assert taken[0] == pytest.approx(taken[1], abs=0.03)


@on_loop
async def test_bandwidth_lets_no_more_through_than_its_rate() -> None:
    async with a_proxied_echo() as (proxy, client):
        proxy.add(Toxic("bandwidth", {"rate": 200}))
        assert 0.45 <= await client.ask(bytes(100_000)) < 1.5


@on_loop
async def test_a_slicer_sends_small_pieces_with_pauses() -> None:
    async with a_proxied_echo() as (proxy, client):
        proxy.add(Toxic("slicer", {"average_size": 10, "delay": 20}))
        client.writer.write(bytes(100))
        first = await client.reader.read(1000)
        assert len(first) == 10
        await client.reader.readexactly(90)


@on_loop
async def test_a_black_hole_takes_connections_and_says_nothing_until_it_is_removed() -> None:
    async with a_proxied_echo() as (proxy, client):
        proxy.add(Toxic("timeout", stream="both"))
        assert await client.is_silent()
        fresh = await Client.to(proxy)
        assert await fresh.is_silent()
        proxy.clear()
        await fresh.ask(b"more")
        fresh.writer.close()


@on_loop
async def test_a_timeout_with_a_time_closes_the_connection_after_it() -> None:
    async with a_proxied_echo() as (proxy, client):
        proxy.add(Toxic("timeout", {"timeout": 200}))
        began = time.monotonic()
        assert await client.reader.read() == b""
        assert time.monotonic() - began >= 0.18


@on_loop
async def test_down_refuses_and_up_takes_connections_on_the_same_port() -> None:
    async with a_proxied_echo() as (proxy, client):
        port = proxy.port
        await client.ask()
        await proxy.down()
        with pytest.raises(ConnectionRefusedError):
            await Client.to(proxy)
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)
        await proxy.up()
        again = await Client.to(proxy)
        await again.ask()
        assert proxy.port == port
        again.writer.close()


@on_loop
async def test_a_reset_comes_in_mid_stream() -> None:
    async with a_proxied_echo() as (proxy, client):
        await client.ask()
        client.writer.write(b"under way")
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(100)


@on_loop
async def test_reset_peer_resets_at_the_next_byte_or_after_its_time() -> None:
    async with a_proxied_echo() as (proxy, client):
        proxy.add(Toxic("reset_peer", stream="upstream"))
        client.writer.write(b"ping")
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(4)
        proxy.clear()
        proxy.add(Toxic("reset_peer", {"timeout": 100}))
        later = await Client.to(proxy)
        with pytest.raises(ConnectionResetError):
            await later.reader.readexactly(4)


@pytest.mark.parametrize("sent", [1000, 100])
@on_loop
async def test_limit_data_cuts_after_so_many_bytes(sent: int) -> None:
    async with a_proxied_echo() as (proxy, client):
        proxy.add(Toxic("limit_data", {"bytes": 100}))
        client.writer.write(bytes(sent))
        assert len(await client.reader.read(2000)) == 100
        assert await client.reader.read() == b""


@on_loop
async def test_half_open_kills_the_present_connections_unannounced_and_no_new_one() -> None:
    async with a_proxied_echo() as (proxy, client):
        await client.ask()
        assert proxy.half_open() == 1
        assert await client.is_silent()
        fresh = await Client.to(proxy)
        await fresh.ask()
        assert await client.is_silent(), "no end and no reset either"
        fresh.writer.close()


@on_loop
async def test_toxicity_hits_its_share_of_connections() -> None:
    async with an_echo() as address, Proxy(address, seed=1) as proxy:
        proxy.add(Toxic("timeout", toxicity=0.5))
        clients = [await Client.to(proxy) for _ in range(30)]
        silent = sum(await asyncio.gather(*(client.is_silent() for client in clients)))
        assert 6 <= silent <= 24
        for client in clients:
            client.writer.transport.abort()


@on_loop
async def test_a_server_that_is_away_ends_the_connection_and_not_the_proxy() -> None:
    async with an_echo() as address:
        pass
    async with Proxy(address) as proxy:
        client = await Client.to(proxy)
        assert await client.reader.read() == b""
        client.writer.close()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "expected a JSON object"),
        ({"type": "fog"}, "expected one of latency, bandwidth"),
        ({"type": "latency", "stream": "sideways"}, "expected one of upstream, downstream, both"),
        ({"type": "latency", "toxicity": 2}, "expected 0 to 1"),
        ({"type": "latency", "attributes": {"rate": 1}}, "has no attribute 'rate': expected latency, jitter"),
        ({"type": "latency", "attributes": {"latency": -1}}, "0 or more"),
        ({"type": "bandwidth"}, "rate of bandwidth is nan"),
        ({"type": "bandwidth", "attributes": {"rate": 0}}, "above 0"),
        ({"type": "latency", "colour": "red"}, "unknown field 'colour'"),
    ],
)
def test_a_toxic_that_cannot_be_used_says_what_is_expected(value: Any, told: str) -> None:
    with pytest.raises(ToxicError, match=told):
        Toxic.from_json(value)


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.dictionaries(st.text(), v))
)
def test_any_json_makes_a_toxic_or_a_toxic_error(value: Any) -> None:
    with pytest.raises(ToxicError):
        Toxic.from_json({"type": "latency", "attributes": value, "stream": "no"})


def program(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.world.proxy", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_program_is_controlled_over_http_and_ends_cleanly_with_a_client_at_hand(
    how: signal.Signals, code: int
) -> None:
    with program("--upstream", "127.0.0.1:1", "--toxic", "timeout@both") as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            control = told["control"]
            with httpx.Client(trust_env=False) as http:
                assert http.get(control).json()["toxics"][0]["name"] == "timeout_both"
                assert http.delete(f"{control}/toxics/timeout_both").json()["toxics"] == []
                bad = http.post(f"{control}/toxics", json={"type": "fog"})
                assert (bad.status_code, "fog" in bad.json()["error"]) == (422, True)
                assert http.post(f"{control}/toxics", content=b"{").status_code == 422
                assert not http.post(f"{control}/down").json()["enabled"]
                assert http.post(f"{control}/up").json()["listen"] == told["listen"]
                assert http.get(f"{control}/nowhere").status_code == 404
            process.send_signal(how)
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == code
    assert errors == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--upstream"),
        (["--upstream", "here"], "expected host:port"),
        (["--upstream", "127.0.0.1:1", "--toxic", "fog"], "expected one of latency"),
        (["--upstream", "127.0.0.1:1", "--toxic", "latency:latency=x"], "expected attribute=number"),
        (["--upstream", "127.0.0.1:1", "--port", "99999"], "port"),
    ],
)
def test_what_cannot_be_used_is_told_with_exit_code_2(words: list[str], told: str) -> None:
    with program(*words) as process:
        _, errors = process.communicate(timeout=4 * PATIENCE_S)
    assert process.returncode == 2
    assert told in errors
    assert "Traceback" not in errors


def test_a_port_in_use_is_told() -> None:
    with program("--upstream", "127.0.0.1:1") as first:
        assert first.stdout is not None
        port = json.loads(first.stdout.readline())["listen"].rpartition(":")[2]
        with program("--upstream", "127.0.0.1:1", "--port", port) as second:
            _, errors = second.communicate(timeout=4 * PATIENCE_S)
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert "in use" in errors


def test_help_has_examples() -> None:
    with program("--help") as process:
        told, _ = process.communicate(timeout=4 * PATIENCE_S)
    assert "--toxic latency:latency=50,jitter=10" in told
