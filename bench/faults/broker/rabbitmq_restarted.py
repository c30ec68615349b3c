"""Fault 37: the broker is a RabbitMQ node, killed with jobs in its quorum queue and started again."""

from __future__ import annotations

from bench.faults.broker.broker_killed import prepare, strike
from bench.faults.spec import Expected, Fault, nothing_lost
from bench.world import rabbitmq

FAULT = Fault(
    number=37,
    slug="rabbitmq-restarted",
    title="RabbitMQ instead of Redis, its node is restarted",
    prepare=prepare,
    strike=strike,
    kills=True,
    after_load=True,
    rabbitmq=True,
    unavailable=rabbitmq.missing,
    rate=4.0,
    load_s=4.0,
    expected={
        "celery-hardened": Expected(
            text="a quorum queue keeps every accepted job", holds=nothing_lost, drain_s=40.0
        ),
    },
)
