from __future__ import annotations

import asyncio
import socket

import pytest

from bench.process.asgi_server import HOST, PortTakenError, listening_socket, port_of, url_of


def test_a_free_port_is_found_and_a_taken_one_refused_with_one_line() -> None:
    with listening_socket() as bound:
        assert url_of(bound) == f"http://127.0.0.1:{port_of(bound)}"
        with pytest.raises(PortTakenError, match=f"port {port_of(bound)} on 127.0.0.1") as error:
            listening_socket(port_of(bound))
        assert "\n" not in str(error.value)


def test_a_connection_does_not_wait_for_delayed_acknowledgements() -> None:
    """Nagle's algorithm would add 40 ms to each answer that goes out in two writes."""

    async def no_delay() -> int:
        accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        bound = listening_socket()
        async with await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=bound):
            _, writer = await asyncio.open_connection(HOST, port_of(bound))
            server_side = await accepted
            option: int = server_side.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY
            )
            for end in (writer, server_side):
                end.close()
                await end.wait_closed()
        return option

    assert asyncio.run(no_delay()) != 0
