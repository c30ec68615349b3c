"""Classify every accepted job of a fault block, and judge the two promises.

A job is **accepted** if the side accepted it and its client got no error. It is
**refused** if the side refused it or the client got an error. In every other case, a client
that got no answer included, its acceptance is **unknown**. Each accepted job is in exactly one
class; the first that fits, in this order:

| class          | effects | and                                                              |
|----------------|---------|------------------------------------------------------------------|
| duplicated     | > 1     |                                                                  |
| done_once      | 1       |                                                                  |
| failed_visibly | 0       | a `failed` event, or it is held in the dead set                  |
| stuck          | 0       | held somewhere: a queue, unacked, a retry set, memory            |
| lost           | 0       | none of these                                                    |

Flags stand beside the classes: late (it had its effect, but after the deadline), ghost (refused
or unknown, yet an effect), unexpected (an effect that nobody submitted), cancelled (a run of it
was cut off by the side, by name), out_of_order (it overtook a job of its key, see
`bench.measures.events.order`). Where two hosts stamped due and effect, `late` is not known and `timed` is
False. The shortest history of each finding is in `bench.measures.faults.witness`.

Held means that no violation was seen, so it needs a complete record. It is unknown without an accepted
job, while a job may still run (stuck: at least once; done but still held: at most once), and with an
incomplete record. Broken needs one violation that was seen; a lost job is known by the absence of events,
so with an incomplete record a loss is unknown too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from bench.measures.events.block import Event, elapsed_ms
from bench.measures.events.clocks import Clocks
from bench.measures.events.history import DUE, JobHistory, histories
from bench.measures.events.order import inversions

CLASSES = ("done_once", "duplicated", "failed_visibly", "stuck", "lost")
ACCEPTANCES = ("accepted", "refused", "unknown")
FLAGS = ("late", "ghost", "unexpected", "cancelled", "out_of_order")
#: A job held here has failed visibly: a person can find it, and nothing runs it again.
DEAD_SET = "dead set"
#: The longest hand-over, ms, that does not count as an error that the caller sees.
CALLER_LIMIT_MS = 1_000.0
#: Confidence of the bounds.
CONFIDENCE = 0.95

Verdict = Literal["held", "broken", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One scenario of one fault block. Each mapping has the jobs of each name."""

    acceptance: dict[str, tuple[str, ...]]
    classes: dict[str, tuple[str, ...]]
    flags: dict[str, tuple[str, ...]]
    still_held: frozenset[str]
    complete: bool
    caller_max_ms: float
    #: Jobs whose caller saw an error: refused, or kept waiting for longer than `CALLER_LIMIT_MS`.
    user_errors: tuple[str, ...] = ()
    #: Whether one clock stamped due and effect, so that `late` is known.
    timed: bool = True

    @property
    def submitted(self) -> int:
        """The number of jobs that a client requested."""
        return sum(map(len, self.acceptance.values()))

    @property
    def sum_ok(self) -> bool:
        """Whether the classes are the accepted jobs, each once."""
        counted = [job for jobs in self.classes.values() for job in jobs]
        return sorted(counted) == sorted(self.acceptance["accepted"])

    @property
    def at_least_once(self) -> Verdict:
        """Whether every accepted job had its effect or a visible failure."""
        if self.classes["lost"]:
            return "broken" if self.complete else "unknown"
        return "unknown" if self.classes["stuck"] else self._held()

    @property
    def at_most_once(self) -> Verdict:
        """Whether no accepted job had its effect twice."""
        if self.classes["duplicated"]:
            return "broken"
        return "unknown" if self.still_held.intersection(self.classes["done_once"]) else self._held()

    def _held(self) -> Verdict:
        return "held" if self.complete and self.acceptance["accepted"] else "unknown"


def judge(
    events: Iterable[Event],
    *,
    scenario: str,
    deadline_ms: float,
    held: Collection[str] = (),
    complete: bool = True,
) -> Judgement:
    """Judge every job of the scenario.

    `held` names jobs found waiting beside those of the `held` events. `complete` is False where
    a ledger was cut or the places where jobs are held could not be looked into.
    """
    seen = list(events)
    timed = Clocks(seen).shared(*DUE, "effect")
    found = [job for job in histories(seen).values() if job.scenario == scenario]
    requested = [job for job in found if _is_requested(job)]
    by_acceptance = {name: [job for job in requested if acceptance(job) == name] for name in ACCEPTANCES}
    accepted = by_acceptance["accepted"]
    others = by_acceptance["refused"] + by_acceptance["unknown"]
    unrequested = [job for job in found if not _is_requested(job)]
    return Judgement(
        acceptance={name: _names(members) for name, members in by_acceptance.items()},
        classes={name: _names(job for job in accepted if classify(job, held) == name) for name in CLASSES},
        flags={
            "late": _names(job for job in accepted if timed and _late(job, deadline_ms)),
            "ghost": _names(job for job in others if "effect" in job.times),
            "unexpected": _names(job for job in unrequested if "effect" in job.times),
            "cancelled": _names(job for job in accepted if "cancelled" in job.times),
            "out_of_order": tuple(inversions(accepted)),
        },
        still_held=frozenset(job.job for job in found if _waiting(job, held)),
        complete=complete,
        caller_max_ms=max(
            (_caller_ms(job) for job in requested if "submit" in job.times), default=float("nan")
        ),
        user_errors=_names(job for job in requested if acceptance(job) == "refused" or _blocked(job)),
        timed=timed,
    )


def acceptance(job: JobHistory) -> str:
    """Return one of `ACCEPTANCES`, as the client knows it, else as the side knows it."""
    got_error = bool(job.statuses) and not job.answered_yes
    if got_error or ("refused" in job.times and "accepted" not in job.times):
        return "refused"
    without_answer = not job.answered_yes and ("request" in job.times or "unknown" in job.times)
    return "accepted" if "accepted" in job.times and not without_answer else "unknown"


def classify(job: JobHistory, held: Collection[str] = ()) -> str:
    """The one class of an accepted job."""
    effects = len(job.times.get("effect", ()))
    if effects:
        return "done_once" if effects == 1 else "duplicated"
    if "failed" in job.times or DEAD_SET in job.held_where:
        return "failed_visibly"
    return "stuck" if _waiting(job, held) else "lost"


def has_ended(job: JobHistory) -> bool:
    """Whether the job had its effect or was given up, so that the drain need not wait for it."""
    return "effect" in job.times or "failed" in job.times


def upper_bound(count: int, n: int) -> float:
    """The largest share that `count` of n still allows, at 95 % confidence (Clopper-Pearson, one-sided).

    0 of 5 still allows 0.45; 0 of n about 3 / n. 1.0 where n is 0: nothing was tried.
    """
    if n == 0:
        return 1.0
    test = stats.binomtest(count, n, alternative="less")
    return float(test.proportion_ci(CONFIDENCE, method="exact").high)


def _is_requested(job: JobHistory) -> bool:
    return "submit" in job.times or "request" in job.times


def _names(jobs: Iterable[JobHistory]) -> tuple[str, ...]:
    return tuple(job.job for job in jobs)


def _waiting(job: JobHistory, held: Collection[str]) -> bool:
    return job.job in held or any(where != DEAD_SET for where in job.held_where)


def _late(job: JobHistory, deadline_ms: float) -> bool:
    return "effect" in job.times and elapsed_ms(job.due, job.first("effect")) > deadline_ms


def _blocked(job: JobHistory) -> bool:
    return "submit" in job.times and _caller_ms(job) > CALLER_LIMIT_MS


def _caller_ms(job: JobHistory) -> float:
    answers = [t for event in ("accepted", "refused") for t in job.times.get(event, ())]
    return elapsed_ms(job.first("submit"), min(answers, default=None))
