"""Whose clock stamped what. Stamps of two hosts are never subtracted and never compared.

An event says with `host` which host stamped it; in a run on one host none does. A figure that would
take stamps of two hosts is NaN, "not told", for the whole block. What one host stamped is told as ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bench.measures.events.block import Event

#: What the host of the run stamps first of a job, wherever the job is done.
_ASKED = frozenset({"due", "request", "submit"})


class Clocks:
    """The hosts that stamped each kind of event of a block."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._hosts: dict[str, set[str]] = defaultdict(set)
        for event in events:
            self._hosts[str(event["event"])].add(host_of(event))

    def hosts(self, *kinds: str) -> set[str]:
        """The hosts that stamped events of these kinds."""
        return {host for kind in kinds for host in self._hosts.get(kind, ())}

    def shared(self, *kinds: str) -> bool:
        """Whether no two hosts stamped events of these kinds: only then may they be subtracted."""
        return len(self.hosts(*kinds)) <= 1


def host_of(event: Event) -> str:
    """The host that stamped an event; empty where the run has one host."""
    return str(event.get("host", ""))


def in_order(events: Iterable[Event]) -> list[Event]:
    """The events by time within each host, the host that asked first: of two clocks no order is known."""
    found = list(events)
    asking = {host_of(event) for event in found if event["event"] in _ASKED}
    return sorted(found, key=lambda event: (host_of(event) not in asking, host_of(event), int(event["t"])))
