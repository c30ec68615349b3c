"""A RabbitMQ node of the tests' own: found, started on free ports, emptied between tests, ended by its group.

It listens on 127.0.0.1 alone, keeps its data and its cookie in a folder of its own, and has a port mapper
(epmd) of its own, so that it neither meets nor needs another RabbitMQ of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import amqp
import pytest
from kombu import pools

from bench.process.process_table import ProcessTable
from bench.world.rabbitmq import INSTALL, Node, missing
from tests.fork_server import ForkServer

#: Queues that tests use; each test begins without them.
QUEUES: Final = ("celery", "mails", "sidekiq.dead", "old")
#: Exchanges that tests use.
EXCHANGES: Final = ("celery", "mails", "sidekiq.dead", "old")


def _empty(node: Node) -> None:
    """Delete what a test may have left; the levels of the delayed delivery stay, without messages."""
    with node.connect() as connection:
        for name in QUEUES:
            connection.channel().queue_delete(name)
        for name in EXCHANGES:
            connection.channel().exchange_delete(name)
        if _stands(connection, "celery_delayed_0"):  # declared last
            for level in range(28):
                connection.channel().queue_purge(f"celery_delayed_{level}")


@pytest.fixture(scope="session")
def _rabbitmq_at_hand() -> None:
    if missing():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)


@pytest.fixture(scope="session")
def _node(tmp_path_factory: pytest.TempPathFactory, _rabbitmq_at_hand: None) -> Iterator[Node]:
    with ProcessTable() as table:
        node = Node(tmp_path_factory.mktemp("rabbitmq"), table)
        node.launch()
        yield node


@pytest.fixture
def rabbitmq(_node: Node) -> Node:
    """The session's node, running and empty whatever the test before did to it."""
    try:
        _empty(_node)
    except (OSError, amqp.AMQPError):
        # It was killed, or a kill during a declaration has left a quorum queue that cannot be opened.
        # A node that begins anew is up sooner than one that recovers what it had.
        _node.begin_anew()
    pools.reset()  # they are the process's, and know of queues that were declared in the test before
    return _node


@pytest.fixture
def rabbit_lab(
    tmp_path: Path, rabbitmq: Node, monkeypatch: pytest.MonkeyPatch, fork_server: ForkServer
) -> Iterator[Any]:
    """A lab (see `conftest`) on RabbitMQ, with `rabbit_app`."""
    from tests.celery_impl.rabbit_lab import RabbitLab  # late: it builds on conftest, which names this module

    made = RabbitLab(tmp_path, rabbitmq, monkeypatch, fork_server)
    yield made
    made.close()


def _stands(connection: Any, queue: str) -> bool:
    try:
        connection.channel().queue_declare(queue, passive=True)
    except amqp.NotFound:
        return False
    return True
