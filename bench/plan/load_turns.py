"""The turns of `--measure load`: each side's capacity first, then blocks at shares of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import ramp
from bench.plan.blocks import START_AND_STOP_S, Turn
from bench.plan.profiles import Profile
from bench.plan.sides import Side

#: Seconds of load before the measured window: at 80 % a queue takes its time to settle.
WARMUP_S = 2.0
#: Seconds that the jobs beyond the capacity take to clear, as a guess.
CLEAR_S = 1.0
#: The part of a ramp that is climbed, as a guess.
CLIMBED = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTurn(Turn):
    """One side at a share of its capacity."""

    share: float

    @property
    def detail(self) -> str:
        """What sets it apart from its side's other blocks."""
        return f"at {self.share:.0%} of its capacity"


def load_turns(sides: Sequence[Side], profile: Profile) -> list[Turn]:
    """The ramps, then every share of every side, forwards and backwards in turn."""
    return [*_ramps(sides, profile), *_shares(sides, profile)]


def _ramps(sides: Sequence[Side], profile: Profile) -> list[Turn]:
    return [
        Turn(
            name=f"c{repetition:02}-{side.name}",
            measure="capacity",
            side=side,
            repetition=repetition,
            guess_s=CLIMBED * len(ramp.rates()) * profile.ramp_step_s + START_AND_STOP_S,
        )
        for repetition in range(profile.ramps)
        for side in _turned(sides, repetition)
    ]


def _shares(sides: Sequence[Side], profile: Profile) -> list[Turn]:
    return [
        LoadTurn(
            name=f"l{repetition:02}-{share:.0%}-{side.name}".replace("%", "pc"),
            measure="load",
            side=side,
            repetition=repetition,
            share=share,
            guess_s=profile.idle_s + WARMUP_S + profile.share_s + START_AND_STOP_S + CLEAR_S,
        )
        for repetition in range(profile.share_repetitions)
        for share in profile.shares
        for side in _turned(sides, repetition)
    ]


def _turned(sides: Sequence[Side], repetition: int) -> Sequence[Side]:
    return sides if repetition % 2 == 0 else sides[::-1]
