"""Which host's clock stamped each event. Stamps of two hosts are never subtracted or compared.

The field `host` of an event names the host that stamped it; a run on one host has no such field. A figure
that would need stamps of two hosts is NaN for the whole block; figures of one host's stamps are not affected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bench.measures.events.block import Event

#: The events of a job that the run's own host stamps, wherever the job is done.
_FIRST = frozenset({"due", "request", "submit"})


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
    """Return the events by time within each host, the run's own host first: two clocks give no order."""
    found = list(events)
    own = {host_of(event) for event in found if event["event"] in _FIRST}
    return sorted(found, key=lambda event: (host_of(event) not in own, host_of(event), int(event["t"])))
