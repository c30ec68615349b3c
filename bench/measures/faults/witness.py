"""The shortest history that shows a finding: the events without any one of which it would not be one.

The checker finds "lost: u7/crm"; this shows why. It starts from every event of the job (and of the jobs of
its key, for an inversion) and leaves out one after the other for as long as the checker finds the same.
Two to five events remain. A lost job has no effect to show, so its history is that of its acceptance.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bench.measures.events.block import NS_PER_MS, Event
from bench.measures.events.clocks import host_of, in_order
from bench.measures.events.history import histories, names_of
from bench.measures.faults.failure import CLASSES, FLAGS, judge

#: The classes and flags of a job.
FINDINGS = (*CLASSES, *FLAGS)


def witness(
    events: Sequence[Event], finding: str, job: str, *, deadline_ms: float, held: Collection[str] = ()
) -> list[Event]:
    """The shortest history, by time, in which `job` is still found to be `finding` (one of FINDINGS).

    Nothing can be left out of it. Raise ValueError where the job is not found to be that.
    """
    if finding not in FINDINGS:
        raise ValueError(f"no finding is called {finding!r}: choose from {', '.join(FINDINGS)}")
    kept = _about(events, job)

    def shows(history: Sequence[Event]) -> bool:
        return _is_found(history, finding, job, deadline_ms, held)

    if not shows(kept):
        raise ValueError(f"{job!r} was not found to be {finding}")
    while True:  # an event may become superfluous once a later one is left out
        for index in reversed(range(len(kept))):
            shorter = kept[:index] + kept[index + 1 :]
            if shows(shorter):
                kept = shorter
                break
        else:
            return kept


#: The findings of which an example is shown, the gravest first.
GRAVEST = ("lost", "duplicated", "ghost", "unexpected", "stuck", "out_of_order")


def example(events: Sequence[Event], scenario: str, *, deadline_ms: float) -> str:
    """The gravest finding of a scenario as text, `lost u7/crm: submit +0 ms, accepted +2 ms`, or nothing."""
    judged = judge(events, scenario=scenario, deadline_ms=deadline_ms)
    found = judged.classes | judged.flags
    grave = next((name for name in GRAVEST if found[name]), None)
    if grave is None:
        return ""
    job = found[grave][0]
    history = witness(events, grave, job, deadline_ms=deadline_ms)
    return f"{grave} {job}: {', '.join(_described(history))}"


def _described(history: Sequence[Event]) -> Iterator[str]:
    """Each event with its time since the first that the same host stamped."""
    starts: dict[str, int] = {}
    for event in history:
        host, t = host_of(event), int(event["t"])
        on = f" on {host}" if starts and host not in starts else ""
        since_ms = (t - starts.setdefault(host, t)) / NS_PER_MS
        yield f"{event['event']} +{since_ms:.0f} ms{on}"


def _about(events: Sequence[Event], job: str) -> list[Event]:
    """Every event of the job and of those of its key and scenario, by time."""
    found = histories(events)
    own = found.get(job)
    if own is None:
        return []
    of_key = {name for name, other in found.items() if (other.key, other.scenario) == (own.key, own.scenario)}
    about = [event for event in events if of_key.intersection(names_of(event))]
    return in_order(about)


def _is_found(
    history: Sequence[Event], finding: str, job: str, deadline_ms: float, held: Collection[str]
) -> bool:
    scenario = next((str(event["scenario"]) for event in history if job in names_of(event)), "")
    judged = judge(history, scenario=scenario, deadline_ms=deadline_ms, held=held)
    return job in (judged.classes | judged.flags)[finding]
