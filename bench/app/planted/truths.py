"""What each side with known truth does, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The faults of one side; by default none."""

    delay_ms: float = 0.0
    #: Every n-th job is dropped, or done twice; 0 for none.
    drop_every: int = 0
    double_every: int = 0
    #: After this job the loop is blocked for so long; 0 for never.
    stall_at_job: int = 0
    stall_s: float = 0.0
    #: How much longer than a second the time between two syncs is.
    drift_ppm: float = 0.0

    def drops(self, number: int) -> bool:
        """Whether the job of this number, from 1, is never done."""
        return bool(self.drop_every) and number % self.drop_every == 0

    def times(self, number: int) -> int:
        """How often the job of this number is done."""
        if self.drops(number):
            return 0
        return 2 if self.double_every and number % self.double_every == 0 else 1


TRUTHS = {
    "truth-base": Truth(),
    "truth-delay": Truth(delay_ms=50.0),
    "truth-count": Truth(drop_every=7, double_every=11),
    "truth-stall": Truth(stall_at_job=20, stall_s=1.0),
    "truth-drift": Truth(drift_ppm=500.0),
    # Forty times that: 20 ms a tick, which shows in a few ticks however busy the machine is.
    "truth-drift-plain": Truth(drift_ppm=20_000.0),
}
