"""The blocks of a run: which side, for what, for how long, in which order. Pure.

Latency blocks go over the sides forwards and then backwards (A B C D, D C B A, …), so that a
machine that slowly warms up or fills charges each side the same; the blocks of one round are
paired. Drift blocks of one repetition run side by side: the machine's noise hits all alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from bench.faults.spec import Fault
from bench.plan.profiles import Profile
from bench.plan.sides import Side

#: What `--measure` accepts, in the order in which a run takes them.
MEASURES = ("latency", "load", "cold", "owners", "hogs", "drift", "fault", "micro")

#: Faults whose losses the verdicts rest on: killed processes and brokers, deploys, replicas.
VERDICT_FAULTS = frozenset({6, 10, 12, 13, 14, 20, 28, 29})
#: Further faults at which a side promises that nothing is lost: they are struck as often.
PROMISES = {"inprocess-journal": frozenset({43, 44, 45, 46})}
#: The side that no verdict compares with the others.
CONTROL_SIDE = "inline"
#: A side that no verdict compares where the other is there too: it stands beside it.
STANDS_BESIDE = {"celery-stock": "celery-hardened"}
#: End of the name of a block that measures a second time.
RETRY_SUFFIX = "-again"
#: Start of the reason if a second try could not count either.
NOT_OFFERED = "not offered: "
#: Seconds that starting and stopping a side costs, for the progress bar's first guess.
START_AND_STOP_S = 4.0
#: The part of its drain limit that a strike takes, as seen: most jobs are done long before it.
DRAINED = 0.35
#: As START_AND_STOP_S, for all policies of a drift repetition together, settling and draining included.
DRIFT_START_AND_STOP_S = 11.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """One side in fresh processes for one window."""

    name: str
    measure: str
    side: Side
    repetition: int
    policy: str = ""
    fault: Fault | None = None
    #: The same block without its fault.
    control: bool = False
    #: No other block runs beside it, so that its times count.
    alone: bool = False
    #: Seconds that it will take, as a guess.
    guess_s: float

    @property
    def label(self) -> str:
        """The block as one line of text."""
        return " ".join(filter(None, [self.name, self.measure, self.side.name, self.detail]))

    @property
    def detail(self) -> str:
        """The part of the label that differs between blocks of one side."""
        kind = "control of fault" if self.control else "fault"
        return self.policy or (f"{kind} {self.fault.number} {self.fault.slug}" if self.fault else "")


def latency_blocks(sides: Sequence[Side], profile: Profile) -> list[BlockSpec]:
    """Every latency block, forwards and backwards in turn."""
    guess = profile.idle_s + profile.warmup_s + profile.latency_s + START_AND_STOP_S
    return [
        BlockSpec(
            name=f"r{repetition:02}-{side.name}",
            measure="latency",
            side=side,
            repetition=repetition,
            guess_s=guess,
        )
        for repetition in range(profile.repetitions)
        for side in (sides if repetition % 2 == 0 else sides[::-1])
    ]


def drift_blocks(sides: Iterable[Side], profile: Profile) -> list[list[BlockSpec]]:
    """For each repetition the blocks that run side by side: one for each policy of each side."""
    subjects = [
        (side, policy)
        for side in sides
        for policy in (*side.policies, *(side.further_policies if profile.every_policy else ()))
    ]
    return [
        [
            BlockSpec(
                name=f"d{repetition:02}-{side.name}-{policy}",
                measure="drift",
                side=side,
                repetition=repetition,
                policy=policy,
                guess_s=profile.drift_s + DRIFT_START_AND_STOP_S,
            )
            for side, policy in subjects
        ]
        for repetition in range(profile.drift_repetitions)
    ]


def fault_blocks(
    sides: Sequence[Side], faults: Iterable[Fault], profile: Profile, *, controls: bool = False
) -> list[BlockSpec]:
    """Every strike of every fault at every side that it can hit, and with `controls` a run without the fault.

    The faults that verdicts rest on come first, so that a run which is cut off has them. Of these and the
    others the strikes that run alone come first, then the longest.
    """
    judged = judged_sides(sides)
    specs = [
        BlockSpec(
            name=f"f{fault.number:02}-{strike}-{side.name}",
            measure="fault",
            side=side,
            repetition=strike,
            fault=fault,
            alone=_is_timed(fault, side, profile) and strike < profile.strikes_alone,
            guess_s=fault.load_s + DRAINED * fault.drain_s(side.name) + START_AND_STOP_S,
        )
        for fault in faults
        for side in sides
        if side.name in fault.expected
        for strike in range(_strikes(fault, side, profile, judged))
    ]
    if controls:
        specs += [_control(spec) for spec in specs if spec.repetition == 0]
    return sorted(
        specs, key=lambda spec: (not _decides(spec.fault, spec.side, judged), not spec.alone, -spec.guess_s)
    )


def judged_sides(sides: Iterable[Side]) -> frozenset[str]:
    """The names of those that a verdict compares."""
    names = {side.name for side in sides}
    return frozenset(name for name in names if name != CONTROL_SIDE and STANDS_BESIDE.get(name) not in names)


def _is_timed(fault: Fault, side: Side, profile: Profile) -> bool:
    """Whether times of the fault at this side are worth the machine alone."""
    return profile.time_every_fault or (fault.timed and side.name != CONTROL_SIDE)


def _strikes(fault: Fault, side: Side, profile: Profile, judged: Collection[str]) -> int:
    return max(profile.strikes, profile.verdict_strikes if _decides(fault, side, judged) else 0)


def _decides(fault: Fault | None, side: Side, judged: Collection[str]) -> bool:
    """Whether a verdict, or a promise of the side, rests on the losses of the fault at this side."""
    if fault is None or side.name not in judged:
        return False
    return fault.number in VERDICT_FAULTS | PROMISES.get(side.name, frozenset())


def _control(spec: BlockSpec) -> BlockSpec:
    fault = spec.fault
    assert fault is not None  # noqa: S101 - made of a fault block
    return replace(
        spec,
        name=f"f{fault.number:02}-c-{spec.side.name}",
        control=True,
        alone=False,
        guess_s=fault.load_s + fault.linger_s + START_AND_STOP_S,
    )


def retry_of(spec: BlockSpec) -> BlockSpec:
    """Return the block that repeats one that did not count."""
    return replace(spec, name=f"{spec.name}{RETRY_SUFFIX}")


def can_retry(spec: BlockSpec, reason: str) -> bool:
    """Return whether a block that did not count for `reason` may be repeated: once, and if it can help."""
    return not spec.name.endswith(RETRY_SUFFIX) and not reason.startswith(NOT_OFFERED)


def block_row(spec: BlockSpec, reason: str, *, seconds: float, **noise: float) -> dict[str, object]:
    """The row of `blocks.csv` for a block that was measured; without a `reason` not to, it counts."""
    if reason:
        return invalid_row(spec, reason, seconds=seconds, **noise)
    return valid_row(spec, seconds=seconds, **noise)


def valid_row(spec: BlockSpec, *, seconds: float, **noise: float) -> dict[str, object]:
    """The row of `blocks.csv` for a block that counts."""
    return _row(spec) | {"seconds": seconds, "valid": True} | noise


def invalid_row(spec: BlockSpec, reason: str, **noise: float) -> dict[str, object]:
    """The row of `blocks.csv` for a block that does not count, and why."""
    return _row(spec) | {"valid": False, "reason": reason} | noise


def _row(spec: BlockSpec) -> dict[str, object]:
    return {
        "block": spec.name,
        "measure": spec.measure,
        "side": spec.side.name,
        "repetition": spec.repetition,
        **({"fault": spec.fault.number, "control": spec.control} if spec.fault else {}),
    }
