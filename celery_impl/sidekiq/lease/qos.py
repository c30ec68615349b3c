"""kombu's window of unacknowledged messages, kept by a holder in the broker."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual


class QoS(virtual.QoS):
    """The messages that a channel holds; their acknowledgement waits for nothing and never fails."""

    channel: Any
    _delivered: Any

    def ack(self, delivery_tag: str) -> None:
        """The job is done."""
        self.channel.acknowledge(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Give the job back to the front of its queue, or drop it."""
        (self.channel.give_back if requeue else self.channel.acknowledge)(delivery_tag)
        super().ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:  # type: ignore[override] # kombu's does, but its stub does not say
        """Give back all that does not run."""
        self.channel.recover()
        self._delivered.clear()
        return []

    def renew(self, _sets: object) -> None:
        """Nothing: `renewal` does it."""
