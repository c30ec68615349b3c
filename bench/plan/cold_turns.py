"""The turns of `--measure cold`: every side started so many times, forwards and backwards in turn. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.plan.blocks import START_AND_STOP_S, Turn
from bench.plan.profiles import Profile
from bench.plan.sides import Side


def cold_turns(sides: Sequence[Side], profile: Profile) -> list[Turn]:
    """Every cold start."""
    return [
        Turn(
            name=f"s{repetition:02}-{side.name}",
            measure="cold",
            side=side,
            repetition=repetition,
            guess_s=START_AND_STOP_S,
        )
        for repetition in range(profile.cold_starts)
        for side in (sides if repetition % 2 == 0 else sides[::-1])
    ]
