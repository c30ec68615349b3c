"""The turns of `--measure hogs`: CPU-heavy jobs in every place that a side has for them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.plan.blocks import START_AND_STOP_S, Turn
from bench.plan.profiles import Profile
from bench.plan.sides import Side

#: Seconds of processor time that each heavy job takes, and from one to the next: two fifths of a core.
HOG_S = 0.2
EVERY_S = 0.5
#: Where a side can run them. In the call itself (inline) they are part of the request.
PLACES = {
    "inprocess": ("loop", "thread", "process"),
    "celery-stock": ("worker",),
    "celery-hardened": ("worker",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HogTurn(Turn):
    """One side with heavy jobs in one place."""

    place: str

    @property
    def detail(self) -> str:
        """What sets it apart from its side's other blocks."""
        return f"heavy jobs in its {self.place}" if self.place == "worker" else f"heavy jobs: {self.place}"


def hog_turns(sides: Sequence[Side], profile: Profile) -> list[Turn]:
    """Every place of every side, forwards and backwards in turn."""
    places = [(side, place) for side in sides for place in PLACES.get(side.name, ())]
    return [
        HogTurn(
            name=f"h{repetition:02}-{place}-{side.name}",
            measure="hogs",
            side=side,
            repetition=repetition,
            place=place,
            guess_s=profile.idle_s + profile.warmup_s + profile.calm_s + profile.hogs_s + START_AND_STOP_S,
        )
        for repetition in range(profile.hog_repetitions)
        for side, place in (places if repetition % 2 == 0 else places[::-1])
    ]
