from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import AsyncConnection
from redis.asyncio import Redis

from bench.world.broker import Broker
from bench.world.postgres import INSTALL, PostgresServer, initdb
from inprocess.supervision.leases.file import FileLease
from inprocess.supervision.leases.lease import Lease
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.leases.postgres import PostgresLease
from inprocess.supervision.leases.redis import RedisLease
from inprocess.supervision.periodic.periodic import Periodic

ROOT = Path(__file__).parent.parent.parent.parent.parent
HOLDER = Path(__file__).with_name("lease_holder.py")
#: Seconds; short, so that the key of a killed holder soon runs out.
TTL_S = 1.0
PATIENCE_S = 30.0


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[dict[str, str]]:
    """Where each server is; started before the first test, so that none seems to be left over by it."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        started = {"redis": stack.enter_context(Broker.start(Path(folder))).url}
        if initdb() is not None:
            started["postgres"] = stack.enter_context(PostgresServer()).url()
        yield started


@pytest.fixture
def broker(servers: dict[str, str]) -> str:
    return servers["redis"]


@pytest.fixture
def postgres(servers: dict[str, str]) -> str:
    if "postgres" not in servers:
        if os.environ.get("CI"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    return servers["postgres"]


@pytest.fixture(params=["file", "redis", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The kind of a backend, and where it is."""
    if request.param == "file":
        return "file", str(tmp_path / "lease")
    return request.param, request.getfixturevalue("broker" if request.param == "redis" else "postgres")


@contextmanager
def holder(backend: tuple[str, str], name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the lease; it, and its token."""
    command = [sys.executable, str(HOLDER), *backend, name, str(TTL_S)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


class Here:
    """Makes leases in this process, and closes what they need."""

    def __init__(self, backend: tuple[str, str], name: str) -> None:
        self.kind, self.address = backend
        self.name = name
        self.client = Redis.from_url(self.address) if self.kind == "redis" else None

    def lease(self) -> Lease:
        if self.kind == "file":
            return FileLease(self.address, ttl_s=TTL_S)
        if self.client is not None:
            return RedisLease(self.client, self.name, ttl_s=TTL_S)
        return PostgresLease(lambda: AsyncConnection.connect(self.address), self.name, ttl_s=TTL_S)

    async def close(self) -> None:
        if self.client is not None:
            await self.client.aclose()


def run(backend: tuple[str, str], name: str, test: Callable[[Here], object]) -> None:
    async def main() -> None:
        here = Here(backend, name)
        try:
            await asyncio.wait_for(test(here), PATIENCE_S)  # type: ignore[arg-type]  # an async test
        finally:
            await here.close()

    asyncio.run(main())


def test_another_replica_takes_over_when_the_holder_is_killed(backend: tuple[str, str]) -> None:
    with holder(backend, "killed") as (process, token):

        async def test(here: Here) -> None:
            tokens: asyncio.Queue[int] = asyncio.Queue()

            def start(token: int) -> Periodic:
                tokens.put_nowait(token)
                return Periodic.start(lambda: None, interval_s=0.05)

            leased = Leased.start(start, here.lease(), retry_s=0.05)
            another = here.lease()
            assert await another.acquire() is None
            await another.release()
            assert not leased.is_holder
            process.kill()  # SIGKILL
            assert await tokens.get() > token
            assert leased.is_holder
            await leased.stop()

        run(backend, "killed", test)


def test_one_of_two_gets_the_lease_and_the_other_once_it_is_released(backend: tuple[str, str]) -> None:
    async def test(here: Here) -> None:
        one, two = here.lease(), here.lease()
        first = await one.acquire()
        assert first is not None
        assert await two.acquire() is None
        assert await one.renew()
        assert not await two.renew()
        await two.release()  # of what it does not hold: no harm
        assert await one.renew()
        await one.release()
        second = await two.acquire()
        assert second is not None
        assert second > first
        await two.release()
        await one.release()

    run(backend, "two", test)


def test_leases_of_different_names_do_not_meet(broker: str, postgres: str, tmp_path: Path) -> None:
    for kind, address in (("redis", broker), ("postgres", postgres)):

        async def test(here: Here) -> None:
            one, two = here.lease(), Here((here.kind, here.address), "other")
            lease = two.lease()
            assert await one.acquire() is not None
            assert await lease.acquire() is not None
            await one.release()
            await lease.release()
            await two.close()

        run((kind, address), "some", test)

    async def files() -> None:
        one, two = FileLease(tmp_path / "one"), FileLease(tmp_path / "two")
        assert (await one.acquire(), await two.acquire()) == (1, 1)
        await one.release()
        await two.release()

    asyncio.run(files())


def test_a_lock_file_that_was_deleted_or_replaced_is_a_lost_lease(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "lease"
        lease = FileLease(path)
        assert await lease.acquire() == 1
        path.unlink()
        assert not await lease.renew()
        path.touch()
        assert not await lease.renew()
        await lease.release()

    asyncio.run(test())


def test_a_file_that_is_no_lease_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious data")
    with pytest.raises(ValueError, match="holds no token"):
        asyncio.run(FileLease(path).acquire())
    assert path.read_text() == "precious data"


def test_a_redis_that_forgot_the_lease_is_noticed_at_the_next_renewal(broker: str) -> None:
    async def test(here: Here) -> None:
        lease = here.lease()
        assert await lease.acquire() is not None
        with redis.Redis.from_url(broker) as other:
            other.delete("{forgotten}:lease")
        assert not await lease.renew()

    run(("redis", broker), "forgotten", test)


def test_a_postgres_session_that_was_ended_is_noticed_at_the_next_renewal(postgres: str) -> None:
    async def test(here: Here) -> None:
        lease, other = here.lease(), here.lease()
        assert await lease.acquire() is not None
        async with await AsyncConnection.connect(postgres, autocommit=True) as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
            )
        with pytest.raises(psycopg.OperationalError):
            await lease.renew()
        assert await other.acquire() is not None
        await other.release()
        await lease.release()

    run(("postgres", postgres), "ended", test)
