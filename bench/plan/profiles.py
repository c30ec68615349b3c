"""How much a run measures: smoke for CI, quick for a look, full for figures that may be quoted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.errors import BenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Rates, lengths and repetitions of one run. Rates are requests a second, lengths seconds."""

    name: str
    #: Requests a second for each of account set-up and e-mail: the common rate of every side.
    rate: float = 10.0
    #: Owners whose balance is synced every second during the latency blocks.
    owners: int = 2
    #: Seconds before the measured window, with the same load, that are not counted.
    warmup_s: float = 0.6
    #: Seconds without load before the warm-up: the idle control of the host tax.
    idle_s: float = 0.7
    #: Seconds of the measured window of a latency block.
    latency_s: float
    #: Rounds over all sides, forwards and backwards in turn; each gives one pair a comparison.
    repetitions: int
    #: Fewest pairs that may say which side is lower: 10 where it may be quoted, else 4 (docs/method.md).
    least_pairs: int = 4
    #: Latency blocks that may be measured again because the first try did not count.
    spares: int = 0
    #: Seconds of a drift block, and how often it is run.
    drift_s: float
    drift_repetitions: int
    #: Every periodic policy that a side has, or only those that differ without a stall or a slow sync.
    every_policy: bool = False
    #: Owners synced in a drift block.
    drift_owners: int = 3
    #: Strikes of each fault at each side.
    strikes: int
    #: Strikes, where these are more, of each fault that verdicts rest on at each side that they compare.
    verdict_strikes: int = 0
    #: Strikes of each that run with no other block beside them, of a fault that is checked for a time.
    strikes_alone: int = 0
    #: Every fault has these, not only those that are checked for a time.
    time_every_fault: bool = False
    #: A control run beside each fault; faults that are named by number have it in any profile.
    controls: bool = False
    #: Fault blocks side by side, but for those that run alone.
    lanes: int
    #: Sidekiq's retry schedule is run at this fraction of its real time; the report says so.
    retry_scale: float
    #: Sides and faults that are run unless the command names others; empty for all.
    sides: tuple[str, ...] = ()
    faults: tuple[int, ...] = ()
    #: Measures that are taken unless the command names others; empty for all.
    measures: tuple[str, ...] = ()
    #: Seconds of each step of a ramp, and ramps a side: what a capacity is measured with.
    ramp_step_s: float = 2.0
    ramps: int = 1
    #: Shares of a side's own capacity, seconds of a block at one, and how often each share is measured.
    shares: tuple[float, ...] = (0.1, 0.5, 0.8, 1.2)
    share_s: float = 5.0
    share_repetitions: int = 1
    #: Cold starts of each side.
    cold_starts: int = 2
    #: Periodic owners that every side has in turn, and in-process alone.
    owner_counts: tuple[int, ...] = (1, 100)
    owner_counts_alone: tuple[int, ...] = ()
    #: Seconds without heavy jobs and with them, and how often each place of them is measured.
    calm_s: float = 5.0
    hogs_s: float = 6.0
    hog_repetitions: int = 1
    #: Blocks of these and the other further measures that may be measured again, as `spares`.
    further_spares: int = 0
    quotable: bool = False


def for_named_faults(profile: Profile) -> Profile:
    """Return the profile for faults that are named by number: each is struck at least once by itself."""
    return replace(profile, strikes_alone=max(1, profile.strikes_alone), time_every_fault=True)


#: What a run takes that has no time for all; `--measure` takes the others too, coarsely.
FEW_MEASURES = ("latency", "drift", "fault", "micro")


#: The faults of a quick run, which has five minutes for everything; `--fault all` takes the others too.
QUICK_FAULTS = (1, 2, 10, 11, 12, 13, 20)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            latency_s=3.0,
            repetitions=1,
            drift_s=6.0,
            drift_repetitions=1,
            strikes=1,
            lanes=4,
            retry_scale=0.05,
            measures=FEW_MEASURES,
            sides=("inprocess", "celery-hardened"),
            faults=(10, 12),
        ),
        Profile(
            name="quick",
            latency_s=2.8,
            repetitions=4,
            spares=1,
            drift_s=10.0,
            drift_repetitions=1,
            strikes=1,
            lanes=8,
            retry_scale=0.05,
            measures=FEW_MEASURES,
            faults=QUICK_FAULTS,
        ),
        Profile(
            name="full",
            latency_s=12.0,
            repetitions=10,
            least_pairs=10,
            spares=10,
            drift_s=65.0,
            drift_repetitions=3,
            every_policy=True,
            strikes=5,
            verdict_strikes=20,
            strikes_alone=1,
            controls=True,
            lanes=8,
            retry_scale=1.0,
            ramp_step_s=3.0,
            ramps=3,
            share_s=10.0,
            cold_starts=5,
            hog_repetitions=2,
            hogs_s=10.0,
            owner_counts=(1, 1_000, 10_000),
            owner_counts_alone=(100_000,),
            further_spares=8,
            quotable=True,
        ),
    )
}


def profile(name: str) -> Profile:
    """The profile of this name; raise BenchError for an unknown one."""
    if name not in PROFILES:
        raise BenchError(f"no profile is called {name!r}: choose from {', '.join(PROFILES)}")
    return PROFILES[name]
