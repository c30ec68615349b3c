"""`queue-or-task verify`: whether the harness reports what is known to be true.

The sides of `bench.app.planted`, each with a known fault of its own, go through the stages of a real run:
latency blocks, a fault block whose fault does nothing, a drift block. A block that does not count
(`validity`) is measured again, twice at most; if it never counts, its rows are too noisy to say. The rows
go to `<out>/instrument.json`, from where every later run copies them into its manifest and report.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.app.planted.truths import TRUTHS
from bench.atomic_write import write_atomically
from bench.blocks import drift as drift_block
from bench.blocks import fault as fault_block
from bench.blocks import latency
from bench.blocks.context import Context
from bench.faults.spec import Expected, Fault
from bench.ledger import reader
from bench.measures.events.block import NS_PER_MS
from bench.measures.latency.validity import HICCUP_P99_MS
from bench.plan.blocks import BlockSpec
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from bench.process.process_table import ProcessTable
from bench.schema import INSTRUMENT, Manifest
from bench.stack import hiccup_meter
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage import environment
from bench.storage.manifest import now
from bench.storage.run_directory import RunDirectory
from bench.verify import checks, same_side
from bench.verify.checks import Row
from scenarios import jobs as job_names

#: The name of the periodic policy of the sides with known truth.
POLICY = "known-truth"
#: Runs of the A/A test, and the most windows that its block is cut into; each run takes half of them.
AA_RUNS = 40
AA_WINDOWS = 4 * same_side.PAIRS
#: Shortest window, s: of a request scenario some ten jobs.
AA_WINDOW_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long a verification measures, in seconds."""

    latency_s: float
    #: Blocks of the delayed side and of the base, in ABBA order.
    pairs: int
    drift_s: float
    count_s: float
    aa_s: float
    #: Tries of a block until it counts.
    tries: int = 3
    #: The stated error of the delay. Two starts of one program may differ by more than 2 %, and one pair of
    #: blocks does not show by how much.
    error_share: float = 0.10
    #: Sides whose drift is measured at the same time; the rows are of the first.
    drifts: tuple[str, ...] = ("truth-drift",)
    #: Blocks in which the lag of the stall is read; the smallest lag counts.
    stalls: int = 2


SHORT = Size(latency_s=3.0, pairs=1, drift_s=12.0, count_s=4.0, aa_s=10.0)
#: Requests a second of each scenario. More for the A/A block, whose windows are short, and for the count;
#: fewer around the stall, so that the requests that waited do not delay each other for long.
RATE, DENSE_RATE, SPARSE_RATE = 10.0, 20.0, 5.0
#: Seconds of load in a block in which the lag of the stall is read.
STALL_LOAD_S = 4.0
WHOLE = Size(latency_s=6.0, pairs=10, drift_s=60.0, count_s=12.0, aa_s=60.0, error_share=checks.ERROR_SHARE)

_PROFILE = Profile(
    name="verify",
    rate=RATE,
    owners=0,
    latency_s=SHORT.latency_s,
    repetitions=1,
    drift_s=SHORT.drift_s,
    drift_repetitions=1,
    drift_owners=2,
    strikes=1,
    lanes=1,
    retry_scale=1.0,
)


def verify(out: Path, *, size: Size, seed: int) -> tuple[RunDirectory, list[Row]]:
    """Measure every known truth; return the run and its rows."""
    profile = replace(_PROFILE, latency_s=size.latency_s, drift_s=size.drift_s)
    directory = RunDirectory.create(out, profile.name, _manifest(profile, seed))
    with ProcessTable() as table:
        context = Context(
            directory=directory,
            table=table,
            profile=profile,
            seed=seed,
            subject=ScenarioSubject([job_names.ACCOUNT_SETUP, job_names.WELCOME_EMAIL]),
        )
        measured = asyncio.run(_measure(context, size))
    rows = check_tables(directory, measured, size)
    directory.save_manifest(finished_at=now(), instrument=to_manifest(rows, directory.manifest))
    record = json.dumps(directory.manifest["instrument"], indent=2, ensure_ascii=False)
    write_atomically(out / INSTRUMENT, f"{record}\n")
    return directory, rows


def to_manifest(rows: list[Row], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a report prints of a verification."""
    verdicts = Counter(row.verdict for row in rows)
    return {
        "known truth": ", ".join(f"{count} of {len(rows)} {verdict}" for verdict, count in verdicts.items()),
        "verified at": now(),
        "verified commit": manifest["git"]["commit"],
        "truths": [
            {"truth": row.truth, "figures": _figures(row), "outcome": row.verdict, "why": _why(row)}
            for row in rows
        ],
    }


def line(row: Row) -> str:
    """Return a row as one line of text."""
    why = _why(row)
    return f"{_figures(row)}: {row.verdict}{f' ({why})' if why else ''}"


def _figures(row: Row) -> str:
    return f"{row.expected:.4g} → {row.reported:.4g} {row.unit} (may be off by {row.allowed:.3g})"


def _why(row: Row) -> str:
    """Return why the row is too noisy; empty where it is not."""
    chance = "within what chance may bring" if row.verdict == "too noisy to say" else ""
    return row.noise or chance


@dataclass(frozen=True, slots=True)
class MeasuredBlock:
    """The name of a block, and why it does not count; empty where it does."""

    block: str
    noise: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The blocks that the rows are read from."""

    #: Blocks of `truth-base` and `truth-delay`, in pairs.
    compared: list[MeasuredBlock]
    stalled: MeasuredBlock
    #: Why the lag of no stalled block counts; empty where one does.
    lag_noise: str
    drifted: str
    #: The long block of the A/A test.
    same_side: MeasuredBlock


async def _measure(context: Context, size: Size) -> Measured:
    compared = [
        await _latency(context, name, repetition, size.tries)
        for repetition in range(size.pairs)
        for name in (("truth-base", "truth-delay") if repetition % 2 == 0 else ("truth-delay", "truth-base"))
    ]
    sparse = replace(context, profile=replace(context.profile, rate=SPARSE_RATE))
    stalled = await _latency(sparse, "truth-stall", 0, size.tries)
    await _run_without_fault(context, "truth-count", 0, size.count_s, rate=DENSE_RATE)
    lagged = [
        await _run_without_fault(context, "truth-stall", n, STALL_LOAD_S, rate=SPARSE_RATE)
        for n in range(size.stalls)
    ]
    drifted = await _drift(context, size)
    long = replace(context, profile=replace(context.profile, latency_s=size.aa_s, rate=DENSE_RATE))
    same = await _latency(long, "truth-base", size.pairs, size.tries)
    return Measured(
        compared=compared, stalled=stalled, lag_noise=min(lagged), drifted=drifted, same_side=same
    )


def check_tables(directory: RunDirectory, measured: Measured, size: Size) -> list[Row]:
    """Check each truth against the run's tables."""
    jobs, failures, drift = (directory.table(name) for name in ("jobs", "failures", "drift"))
    repetition = {block.block: number // 2 for number, block in enumerate(measured.compared)}
    pairs = jobs[jobs["block"].isin(repetition)].assign(repetition=jobs["block"].map(repetition))
    noise = next((block.noise for block in measured.compared if block.noise), "")
    base_ms = float(pairs[pairs["side"] == "truth-base"]["response_ms"].median())
    windows = min(AA_WINDOWS, int(size.aa_s / AA_WINDOW_S))
    cut = same_side.windows(jobs[jobs["block"] == measured.same_side.block], windows)
    return [
        *checks.delay(pairs, noise=noise, share=size.error_share),
        *checks.counts(failures),
        *checks.stall(
            failures,
            jobs[jobs["block"] == measured.stalled.block],
            stalls_ns=planted_stalls_ns(
                directory, [measured.stalled.block, *failures[failures["side"] == "truth-stall"]["block"]]
            ),
            base_ms=base_ms,
            noise=measured.stalled.noise or noise,
            lag_noise=measured.lag_noise,
        ),
        *checks.drift(drift[drift["block"] == measured.drifted]),
        checks.false_differences(
            same_side.called_different(cut, AA_RUNS), AA_RUNS, noise=measured.same_side.noise
        ),
        checks.label_bias(same_side.label_bias(cut)),
    ]


def planted_stalls_ns(directory: RunDirectory, blocks: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return from when to when the loop of each block's side was blocked, as the side recorded it."""
    found = {}
    for block in blocks:
        events, _ = reader.read_events(directory.path / f"events-{block}.jsonl")
        times = [int(event["t"]) for event in events if event.get("planted")]
        found[block] = (min(times, default=0), max(times, default=0))
    return found


async def _latency(context: Context, name: str, repetition: int, tries: int) -> MeasuredBlock:
    """Measure a block until it counts, at most `tries` times."""
    measured = MeasuredBlock("", "never measured")
    for attempt in range(tries):
        spec = _spec(name, "latency", repetition, attempt)
        measured = MeasuredBlock(spec.name, await latency.run(spec, context))
        if not measured.noise:
            break
    return measured


async def _drift(context: Context, size: Size) -> str:
    """As `_latency`, for the drift block."""
    name = ""
    for attempt in range(size.tries):
        specs = [replace(_spec(side, "drift", 0, attempt), policy=POLICY) for side in size.drifts]
        name = specs[0].name
        await drift_block.run_together(specs, context)
        drift = context.directory.table("drift")
        if not checks.jitter(drift[drift["block"] == name]):
            break
    return name


async def _run_without_fault(context: Context, name: str, strike: int, load_s: float, *, rate: float) -> str:
    """Run a fault block without a fault, so that only the side itself causes findings; return its noise."""
    expected = Expected(text="as its known truth", holds=lambda _row: True, drain_s=3.0)

    async def nothing(_target: object) -> None:
        """Do nothing."""

    fault = Fault(
        number=0,
        slug="known-truth",
        title="none: the side itself is faulty",
        expected={name: expected},
        strike=nothing,
        rate=rate,
        load_s=load_s,
    )
    beside = asyncio.create_task(asyncio.to_thread(hiccup_meter.measure, time.monotonic_ns(), load_s))
    await fault_block.run(replace(_spec(name, "fault", strike), fault=fault), context)
    longest_ms = max(await beside) / NS_PER_MS  # the figure that is read is a longest lag
    return f"hiccups of up to {longest_ms:.1f} ms" if longest_ms > HICCUP_P99_MS else ""


def _spec(name: str, measure: str, repetition: int, attempt: int = 0) -> BlockSpec:
    suffix = f"-{attempt + 1}" if attempt else ""
    return BlockSpec(
        name=f"{measure[0]}{repetition:02}-{name}{suffix}",
        measure=measure,
        side=Side(name=name, policies=(POLICY,)),
        repetition=repetition,
        guess_s=0.0,
    )


def _manifest(profile: Profile, seed: int) -> Manifest:
    return Manifest(
        started_at=now(),
        finished_at=None,
        interrupted=False,
        profile=profile.name,
        command=["queue-or-task", "verify", "--seed", str(seed)],
        seed=seed,
        sides=list(TRUTHS),
        scenarios=list(job_names.SCENARIOS),
        measures=["latency", "fault", "drift"],
        plan=asdict(profile),
        versions=environment.versions(),
        machine=environment.machine(),
        git=environment.commit(Path(__file__).parent),
        broker="none needed",
        noise={},
        discarded=[],
    )
