"""The run directory: its files, their columns and the version that both ends agree on.

`bench` writes it and `reports` reads it, and this file is all that they share. It declares each table
once: what a row is, and each column with its type, unit and label, the values that it may hold, and how
a threshold may name it. Reading, writing, thresholds, labels and units follow from that.

| file               | holds                                                                      |
|--------------------|----------------------------------------------------------------------------|
| run.json           | the manifest: see `Manifest`                                               |
| plan.json          | every block in its order, when each fault strikes; see `bench.plan.plan_file`     |
| events-<block>.jsonl | one event of the ledger a line, ordered by `t` (see `scenarios.ledger`)  |
| <table>.csv        | a table of `SCHEMA`; one that a run has nothing for is absent              |
| micro.json         | call costs, in pytest-benchmark's own format                               |
| checks.json        | what became of the thresholds that the run was last held against           |
| report.html        | the report                                                                 |
| summary.json       | the same in figures, for scripts; see `reports.summary.content`            |
| summary.md         | the same for a comment under a change                                      |

Beside the runs stand `index.html`, the list of all of them, and what `compare` wrote: `compare-A-B.json`
(`COMPARISON`) and `compare-A-B.html`.

Times are milliseconds unless a column's unit says otherwise; `inf` is a job that was not finished by the
drain limit. An empty cell is missing: see `MISSING`.

To add a column, append it to its table with `added=True`: a run that was measured before lacks it and
is read all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypedDict, get_args

#: Raised by one whenever a file or a column changes its meaning; a column that is added changes none.
SCHEMA_VERSION = 2
#: The first schema in which the caller cost of the welcome e-mail is the hand-over alone. In earlier runs it
#: contains the INSERT of the user, so readers treat it as not measured.
HAND_OVER_ALONE = 2

MANIFEST = "run.json"
PLAN = "plan.json"
REPORT = "report.html"
#: How far a run has come, while it measures.
LIVE = "live.html"
MICRO = "micro.json"
CHECKS = "checks.json"
SUMMARY_JSON = "summary.json"
SUMMARY_MD = "summary.md"
#: Beside the runs: the list of all of them.
INDEX = "index.html"
#: Beside the runs: what the last verification of the instrument found.
INSTRUMENT = "instrument.json"

#: What makes two machines the same one, in the manifest's `machine`; the load of the moment does not.
MACHINE_IDENTITY = ("cores", "memory_gb", "processor", "system")

#: What a cell holds: text; several texts; a whole number; a number; true or false.
Dtype = Literal["text", "texts", "integer", "number", "truth"]
#: What a missing cell or column reads as.
MISSING: Mapping[Dtype, Any] = MappingProxyType(
    {"text": "", "texts": "", "integer": math.nan, "number": math.nan, "truth": None}
)
#: The separator of the texts of a cell of `texts`; no text may hold it.
BETWEEN_TEXTS = "; "
#: How the rows that a threshold names become one figure.
Aggregate = Literal["sum", "min", "median", "max"]
#: Whether one side is lower or higher than another, as `bench.measures.statistics.verdict_words` finds it.
Words = Literal["lower", "higher", "no clear difference", "too few pairs", "too noisy to say", "the same run"]
WORDS: tuple[Words, ...] = get_args(Words)
#: Whether a promise was kept; unknown where that could not be judged.
State = Literal["held", "broken", "unknown"]

#: Fewest samples of one block from which each quantile may be printed; several jobs of one request are one
#: sample (docs/method.md).
MINIMUM_SAMPLES: Mapping[float, int] = MappingProxyType({0.5: 6, 0.9: 36, 0.95: 72, 0.99: 368, 0.999: 3_688})

#: Every side that a run can measure with its label, in the order of the reports.
SIDE_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "inprocess": "in-process",
        "inprocess-journal": "in-process, journalled",
        "celery-stock": "stock Celery",
        "celery-hardened": "hardened Celery",
        "celery-app": "your Celery settings",
        "inline": "inline control",
    }
)
SIDES = tuple(SIDE_LABELS)
#: The built-in scenarios with their labels; "all" is the app as a whole.
SCENARIO_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "all": "all scenarios",
        "account_setup": "account set-up",
        "account_sync": "periodic sync",
        "welcome_email": "welcome e-mail",
    }
)
#: The policies of a periodic sync with their labels.
POLICY_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "work-then-rearm": "fixed delay after completion",
        "anchored": "anchored + skip",
        "anchored-spawn": "anchored + spawn",
        "anchored-catch-up": "anchored + catch up",
        "beat": "beat",
        "anchored-beat": "anchored beat",
    }
)
#: What a block measures, with labels.
MEASURE_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "latency": "latency",
        "capacity": "capacity",
        "load": "load",
        "cold": "cold start",
        "owners": "many owners",
        "hogs": "CPU-heavy jobs",
        "drift": "drift",
        "fault": "faults",
    }
)
#: The metrics of `latency.csv` with their labels; each is a distribution over jobs or requests, in ms.
METRIC_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "response": "response",
        "uncorrected": "effect after submit",
        "caller": "caller cost",
        "pickup": "pickup",
        "service": "service",
        "seen": "seen",
        "request": "HTTP request",
        "lateness": "generator lateness",
        "host_tax": "host tax",
        "lag": "lag of the app's own loop",
    }
)
#: Those that a threshold may name, as quantiles: `lag` is in `hog_latency.csv` alone.
THRESHOLD_METRICS = tuple(name for name in METRIC_LABELS if name != "lag")
#: Where a CPU-heavy job runs, with labels.
PLACE_LABELS: Mapping[str, str] = MappingProxyType(
    {"loop": "on the loop", "thread": "in a thread", "process": "in a process", "worker": "in its worker"}
)
#: The columns that say what a row is of, in the order of the reports. A threshold's filter may name those
#: that the table has.
SUBJECTS = ("scenario", "side", "policy", "fault")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, what its cells hold, and how a person reads it."""

    name: str
    dtype: Dtype
    label: str
    #: Of a number: ms, s, MB, ppm, % or another in words; empty where it is a count.
    unit: str = ""
    #: The texts that a cell may hold, each with its label; empty: any text.
    choices: Mapping[str, str] = field(default_factory=dict)
    #: How a threshold without an aggregate combines the rows; None: no threshold may name the column.
    threshold: Aggregate | None = None
    #: Runs of this schema that were measured before the column came lack it.
    added: bool = False

    @property
    def missing(self) -> Any:
        """What a missing cell reads as."""
        return MISSING[self.dtype]

    @property
    def heading(self) -> str:
        """The label with its unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its name, what a row is, and its columns in their order."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        """The column of that name; raise KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")

    def labels(self, *names: str) -> dict[str, str]:
        """The label of each of these columns, by name."""
        return {name: self[name].label for name in names}

    def texts(self) -> tuple[str, ...]:
        """The columns that hold text."""
        return tuple(column.name for column in self.columns if column.dtype in {"text", "texts"})


def join_texts(texts: Sequence[str]) -> str:
    """Join texts to a cell of `texts`; raise ValueError for a text that holds the separator."""
    if bad := [text for text in texts if BETWEEN_TEXTS in text]:
        raise ValueError(f"{bad[0]!r} holds {BETWEEN_TEXTS!r}, which stands between two texts")
    return BETWEEN_TEXTS.join(texts)


def split_texts(cell: str) -> list[str]:
    """The texts of a cell of `texts`."""
    return [text for text in cell.split(BETWEEN_TEXTS) if text]


def _text(name: str, label: str, choices: Mapping[str, str] | tuple[str, ...] = ()) -> Column:
    named = choices if isinstance(choices, Mapping) else {choice: choice for choice in choices}
    return Column(name=name, dtype="text", label=label, choices=named)


def _count(name: str, label: str, threshold: Aggregate | None = None) -> Column:
    return Column(name=name, dtype="integer", label=label, threshold=threshold)


def _number(name: str, label: str, unit: str = "", threshold: Aggregate | None = None) -> Column:
    return Column(name=name, dtype="number", label=label, unit=unit, threshold=threshold)


def _truth(name: str, label: str) -> Column:
    return Column(name=name, dtype="truth", label=label)


_BLOCK = _text("block", "block")
_MEASURE = _text("measure", "measure", MEASURE_LABELS)
_SIDE = _text("side", "side", SIDE_LABELS)
_BASELINE = _text("baseline", "baseline", SIDE_LABELS)
_SCENARIO = _text("scenario", "scenario", SCENARIO_LABELS)
#: Index of the ABBA round: blocks of one repetition are paired.
_REPETITION = _count("repetition", "repetition")
_METRIC = _text("metric", "metric", METRIC_LABELS)
#: One of `MINIMUM_SAMPLES`; only from enough requests.
_QUANTILE = _number("quantile", "quantile")
#: The number of docs/faults.md.
_FAULT = _count("fault", "fault")
_STRIKE = _count("strike", "strike")
_POLICY = _text("policy", "policy", POLICY_LABELS)
_OWNER = _text("owner", "owner")
_SECONDS = _number("seconds", "window", "s")
_WORDS = _text("words", "in words", WORDS)
#: What led to the words, for a person.
_WHY = _text("why", "why")
_RATIO = (
    _count("pairs", "pairs"),
    _number("ratio", "ratio"),
    _number("low", "low end of the 95 % interval"),
    _number("high", "high end of the 95 % interval"),
)
#: What `bench.measures.statistics.verdict_words` says of a difference beside its words.
_CALLED = (
    replace(_count("pairs_needed", "pairs needed"), added=True),
    replace(_number("margin_ms", "practical margin", "ms"), added=True),
    replace(_number("p", "p-value"), added=True),
    replace(_number("p_holm", "p-value after Holm's correction"), added=True),
    replace(_truth("under_hiccup", "a tail below the machine's own hiccup"), added=True),
)
#: Cores in use.
_CORES = (
    _number("side_cores", "cores: side"),
    _number("services_cores", "services"),
    _number("generator_cores", "generator"),
)

_LATENCY = (
    _BLOCK,
    _SIDE,
    _SCENARIO,
    _REPETITION,
    _METRIC,
    _QUANTILE,
    _number("value_ms", "value", "ms"),
    _count("n", "n"),
)
#: The jobs of one request are no independent samples: a quantile needs enough of these.
_REQUESTS = replace(_count("requests", "requests"), added=True)

_FAILURES = (
    _BLOCK,
    _FAULT,
    _text("slug", "slug"),
    _SIDE,
    _SCENARIO,
    _STRIKE,
    _count("submitted", "submitted", "sum"),
    _count("accepted", "accepted", "sum"),
    _count("refused", "refused", "sum"),
    _count("unknown", "unknown to the caller", "sum"),
    _count("done_once", "done once", "sum"),
    _count("duplicated", "doubled", "sum"),
    _count("failed_visibly", "failed visibly", "sum"),
    _count("stuck", "stuck", "sum"),
    _count("lost", "lost", "sum"),
    _count("late", "late", "sum"),  # missing: two hosts stamped due and effect
    _count("ghost", "ghost", "sum"),
    _count("unexpected", "unexpected", "sum"),
    _count("cancelled", "cancelled by name", "sum"),
    _count("out_of_order", "out of order", "sum"),  # jobs that overtook another of their key
    _truth("sum_ok", "the five classes add up to accepted"),
    _text("at_least_once", "at least once", get_args(State)),
    _text("at_most_once", "at most once", get_args(State)),
    _number("t_first_s", "next effect", "s", "max"),
    _number("t_90_s", "90 % of the rate", "s", "max"),
    _number("t_clear_s", "backlog cleared", "s", "max"),
    _number("caller_max_ms", "longest call", "ms", "max"),
    _count("user_errors", "submits refused, or whose caller waited for more than 1 s", "sum"),
    _number("lag_max_ms", "longest lag of the app's own loop", "ms", "max"),
    _truth("app_died", "the app died"),
    _text("predicted", "predicted"),  # what docs/faults.md expects
    _text(
        "as_predicted", "as predicted", ("yes", "no", "partly")
    ),  # empty: hangs on a `late` that is missing
    Column(name="note", dtype="texts", label="notes"),  # what was scaled down, for a person
    _text("seen", "seen by the fault's own checker"),
    _text("example", "example"),  # the gravest finding: class, job, and the shortest history that shows it
    # ticks that came twice within half an interval; missing where the fault's checker counts none
    replace(_count("bursts", "bursts"), added=True),
)

#: Every table of a run.
SCHEMA: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            Table(
                name="blocks",
                row="one block that ran: what, when, hiccups, whether it counts",
                columns=(
                    _BLOCK,
                    _MEASURE,
                    _SIDE,
                    _REPETITION,
                    _SECONDS,
                    _number("hiccup_p99_ms", "hiccup p99", "ms"),
                    _number("hiccup_max_ms", "longest hiccup", "ms"),
                    _number("steal_percent", "steal", "%"),
                    # of the generator, at p99 or the highest percentile that the requests allow
                    _number("lateness_ms", "generator lateness", "ms"),
                    _truth("valid", "counts"),
                    _text("reason", "reason"),  # why it does not count
                    replace(_FAULT, added=True),  # missing: no fault block
                    replace(_truth("control", "control run"), added=True),  # a fault block without its fault
                    # monotonic ns: the measured window; of a fault block, from its load until it is drained
                    replace(_count("start_ns", "window from"), added=True),
                    replace(_count("end_ns", "window until"), added=True),
                    # why the times of a fault block are left out though it counts
                    replace(_text("untimed", "times left out"), added=True),
                ),
            ),
            Table(
                name="jobs",
                row="one job of a latency block",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _SCENARIO,
                    _text("job", "job"),
                    _count("due_ns", "due"),
                    _number("response_ms", "response", "ms"),  # effect - due, the headline
                    _number("uncorrected_ms", "effect after submit", "ms"),
                    _number("caller_ms", "caller cost", "ms"),  # accepted - submit
                    _number("pickup_ms", "pickup", "ms"),  # start - due
                    _number("service_ms", "service", "ms"),  # done - start
                    _number("seen_ms", "seen", "ms"),  # done - due, where two hosts stamped effect and due
                    _text("outcome", "outcome", ("done", "unfinished", "refused", "unknown", "failed")),
                ),
            ),
            Table(
                name="requests",
                row="one HTTP request of a latency block, as its client saw it",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _SCENARIO,
                    _text("request", "request"),
                    _count("due_ns", "due"),
                    _number("latency_ms", "latency", "ms"),
                    _number("lateness_ms", "generator lateness", "ms"),
                    _count("status", "status"),
                ),
            ),
            Table(
                name="latency",
                row="one quantile of one metric of one side and scenario in one block",
                columns=(*_LATENCY, _REQUESTS),
            ),
            Table(
                name="comparisons",
                row="one metric of two sides, over the pairs of blocks: side / baseline",
                columns=(
                    _SCENARIO,
                    _METRIC,
                    _QUANTILE,
                    _BASELINE,
                    _SIDE,
                    *_RATIO,
                    _number("difference_ms", "difference", "ms"),
                    _WORDS,
                    _WHY,
                    *_CALLED,
                ),
            ),
            Table(
                name="ticks",
                row="one run of a periodic sync",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _POLICY,
                    _OWNER,
                    _count("tick", "tick"),
                    _count("due_ns", "due"),
                    _count("start_ns", "start"),
                    _count("done_ns", "done"),
                    _number("phase_ms", "phase", "ms"),
                    _truth("duplicate", "ran twice"),
                ),
            ),
            Table(
                name="drift",
                row="the drift of one owner in one block",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _POLICY,
                    _OWNER,
                    _count("ticks_due", "ticks due", "sum"),
                    _count("ticks_run", "ticks run", "sum"),
                    _count("missed", "missed", "sum"),
                    _count("duplicates", "doubled", "sum"),
                    _number("on_time_percent", "on time", "%", "max"),
                    _number("phase_p50_ms", "phase p50", "ms", "max"),
                    _number("phase_p99_ms", "phase p99", "ms", "max"),
                    _number("jitter_sd_ms", "jitter sd", "ms", "max"),
                    _number("jitter_p1_ms", "jitter p1", "ms", "max"),
                    _number("jitter_p99_ms", "jitter p99", "ms", "max"),
                    _number("drift_ppm", "drift", "ppm", "max"),
                    _number("cumulative_ms", "cumulative drift", "ms", "max"),
                    _number("run_s", "length", "s", "max"),
                    _count("overlaps", "overlaps", "sum"),
                    _count("bursts", "bursts", "sum"),
                    _number("mtie_1_ms", "MTIE over 1 tick", "ms", "max"),
                    _number("mtie_10_ms", "MTIE over 10 ticks", "ms", "max"),
                    _number("mtie_60_ms", "MTIE over 60 ticks", "ms", "max"),
                    _number("age_p99_ms", "age p99", "ms", "max"),
                    _number("age_max_ms", "oldest", "ms", "max"),
                ),
            ),
            Table(
                name="failures",
                row="one strike of one fault at one side: each accepted job in exactly one class",
                columns=_FAILURES,
            ),
            Table(
                name="cost",
                row="what one latency block cost to run",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _REPETITION,
                    _count("jobs", "jobs", "median"),
                    _number("cpu_s_per_1000", "processor", "s for 1,000 jobs", "median"),
                    _number("pss_mb", "memory of all its processes (PSS)", "MB", "median"),
                    _number("broker_commands_per_job", "broker commands a job", "", "median"),
                    _count("processes", "processes", "median"),
                    _count("sockets", "sockets", "median"),
                    # settings that whoever runs the side has to know
                    _count("config_lines", "configuration lines", "median"),
                    _number("cold_start_s", "cold start", "s", "median"),
                ),
            ),
            Table(
                name="capacity",
                row="the most that one side got done, from one ramp of rates",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _REPETITION,
                    _number("capacity_per_s", "requests/s"),  # of the common mix
                    _number("capacity_jobs_per_s", "jobs/s"),
                    _number("held_per_s", "steepest step that held"),  # requests a second
                    _number("broke_per_s", "first that did not"),
                    _text("limited_by", "limited by", ("side", "generator")),  # generator: at least so much
                    *_CORES,  # over the steps beyond
                ),
            ),
            Table(
                name="ramps",
                row="one step of a ramp",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _REPETITION,
                    _count("step", "step"),
                    _number("rate_per_s", "requests/s"),
                    _SECONDS,
                    _count("due_jobs", "jobs due"),
                    _count("done_jobs", "jobs done"),
                    _count("backlog_start", "backlog before"),  # jobs due and not ended
                    _count("backlog_end", "backlog after"),
                    _number("oldest_s", "oldest", "s"),  # age of the oldest of them at the end
                    _truth("held", "kept up"),  # the backlog did not grow
                ),
            ),
            Table(
                name="loads",
                row="one block at a share of its side's capacity: who used what, did it keep up",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _REPETITION,
                    _number("share", "share of the side's own capacity"),  # 0.1 | 0.5 | 0.8 | 1.2
                    _number("rate_per_s", "requests/s"),
                    _number("capacity_per_s", "capacity, requests/s"),
                    _SECONDS,
                    _count("due_jobs", "jobs due"),
                    _count("done_jobs", "jobs done"),
                    _count("refused", "refused"),
                    _count("unknown", "unknown to the caller"),
                    _count("backlog_start", "backlog before"),
                    _count("backlog_end", "backlog after"),
                    _number("growth_per_s", "backlog grew by", "jobs/s"),
                    _truth("overloaded", "overloaded"),  # it grew: the response has no quantile
                    _number("oldest_s", "oldest", "s"),
                    # from the end of the load to the end of its last job; inf: not by the drain limit
                    _number("cleared_s", "cleared after", "s"),
                    _number("side_cores", "cores of the side"),
                    _number("services_cores", "cores of the services"),
                    _number("generator_cores", "cores of the generator"),
                ),
            ),
            Table(
                name="cold",
                row="one cold start of one side, and what each part of it took",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _REPETITION,
                    _number(
                        "broker_s", "the broker's spawn until it answers", "s"
                    ),  # missing: the side has none
                    _number("app_s", "the app's spawn until it listens", "s"),
                    _number(
                        "worker_s", "the worker's spawn until its first job", "s"
                    ),  # missing: as broker_s
                    # without the services' own start
                    _number("first_effect_s", "spawn of the side to its first effect", "s"),
                ),
            ),
            Table(
                name="owners",
                row="one block with so many periodic owners",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _text("policy", "policy", ("anchored", "beat fan-out", "beat entries")),
                    _REPETITION,
                    _count("owners", "owners"),
                    _count("noted", "owners noted"),  # they note their runs; ticks and phase are theirs
                    _number("interval_s", "every", "s"),
                    _SECONDS,
                    _number(
                        "start_s", "until all had started", "s"
                    ),  # missing where they are beat's settings
                    _count("ticks_due", "ticks due"),
                    _count("ticks_run", "ticks run"),
                    _count("missed", "missed"),
                    _count("duplicates", "doubled"),
                    _number("on_time_percent", "on time", "%"),
                    _number("phase_p50_ms", "phase p50", "ms"),  # start - due
                    _number("phase_p99_ms", "phase p99", "ms"),
                    _number("phase_max_ms", "latest", "ms"),
                    _number("jitter_sd_ms", "jitter sd", "ms"),  # of an owner's starts, minus the interval
                    _number("jitter_p1_ms", "jitter p1", "ms"),
                    _number("jitter_p99_ms", "jitter p99", "ms"),
                    _number("drift_ppm", "drift", "ppm"),  # median over the owners
                    _number("side_cores", "cores"),  # in use, broker included
                    _number("pss_mb", "memory", "MB"),
                    _number("lag_p99_ms", "loop lag p99", "ms"),  # of the app's own event loop
                    _number("lag_max_ms", "longest loop lag", "ms"),
                ),
            ),
            Table(
                name="hogs",
                row="one block in which CPU-heavy jobs ran beside the requests",
                columns=(
                    _BLOCK,
                    _SIDE,
                    _text("place", "place", PLACE_LABELS),
                    _REPETITION,
                    _count("hogs", "heavy jobs"),
                    _count("hogs_done", "heavy jobs done"),
                    _number("hog_s", "processor time of each", "s"),
                    _number("every_s", "one every", "s"),
                    _number("calm_s", "time without them", "s"),
                    _number("seconds", "time with them", "s"),
                    _number("lag_p99_calm_ms", "loop lag p99 without them", "ms"),
                    _number("lag_p99_ms", "loop lag p99", "ms"),
                    _number("lag_max_calm_ms", "longest loop lag without them", "ms"),
                    _number("lag_max_ms", "longest loop lag", "ms"),
                    _number("side_cores", "cores"),
                ),
            ),
            Table(
                name="own",
                row="what the measuring itself took of the processor, in one block",
                columns=(
                    _BLOCK,
                    _MEASURE,
                    _SIDE,
                    _SECONDS,
                    _number("side_s", "the side", "s"),  # processor time of the window
                    _number("services_s", "the services", "s"),
                    _number("generator_s", "generator", "s"),
                    _number("harness_s", "harness", "s"),
                    # generator and harness, of what the run's processes used together
                    _number("own_percent", "own part", "%"),
                    # the same, of all that the machine's cores offered
                    _number("own_machine_percent", "own part of the machine", "%"),
                ),
            ),
            Table(
                name="exposure",
                row="how many jobs one strike could reach, and how many of those were lost",
                columns=(
                    _BLOCK,
                    _FAULT,
                    _SIDE,
                    _STRIKE,
                    _SCENARIO,
                    # accepted jobs that the fault could reach: of a kill, those not done when it was made
                    _count("exposed", "exposed"),
                    _count("lost", "lost"),
                    # submitted by then, but their caller got no answer
                    replace(_count("unanswered", "without an answer"), added=True),
                    # made until a job was exposed; after the last one none may have been
                    replace(_count("strikes", "strikes made"), added=True),
                ),
            ),
            Table(
                name="blast",
                row="what one strike did to the scenario that it did not aim at, struck minus control",
                columns=(
                    _BLOCK,
                    _FAULT,
                    _SIDE,
                    _STRIKE,
                    _SCENARIO,
                    # shares of its jobs
                    _number("lost", "lost"),
                    _number("stuck", "stuck"),
                    _number("failed_visibly", "failed visibly"),
                    _number("duplicated", "doubled"),
                    _number("late", "late"),
                    _number("ghost", "ghosts"),
                    _number("unserved", "refused or without an answer"),
                    _number("response_p50_ms", "median response", "ms"),
                    _number("lag_ms", "longest lag of the loop", "ms"),
                ),
            ),
            Table(
                name="controls",
                row="as failures.csv, without the fault; no prediction",
                columns=tuple(replace(column, threshold=None) for column in _FAILURES),
            ),
            Table(
                name="hog_latency",
                row="as latency.csv, without the heavy jobs and with them",
                columns=(
                    *_LATENCY,
                    _text("place", "place", PLACE_LABELS),
                    _count("hogs", "heavy jobs"),
                    _REQUESTS,
                ),
            ),
            Table(
                name="load_latency",
                row="as latency.csv, at that share; nothing where the side did not keep up",
                columns=(
                    *_LATENCY,
                    _number("share", "share of the side's own capacity"),
                    _number("rate_per_s", "requests/s"),
                    _REQUESTS,
                ),
            ),
        )
    }
)
#: The names of each table's columns.
TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: table.names for name, table in SCHEMA.items()}
)
#: The rows of `compare-A-B.json`: one figure that both runs have; `a` and `b` are medians over blocks.
COMPARISON = Table(
    name="compared",
    row="one figure that both runs have, b / a",
    columns=(
        _SCENARIO,
        _SIDE,
        _METRIC,
        _QUANTILE,
        _number("a", "A", "ms"),
        _number("b", "B", "ms"),
        *_RATIO,
        _WORDS,
        _WHY,
        *_CALLED,
    ),
)
COMPARED = COMPARISON.names


class Manifest(TypedDict, total=False):
    """`run.json`."""

    schema: int
    run: str
    started_at: str  # ISO 8601, UTC
    finished_at: str | None  # None: interrupted or still running
    interrupted: bool
    profile: str  # smoke | quick | full
    command: list[str]  # what reproduces the run
    seed: int
    sides: list[str]
    scenarios: list[str]
    measures: list[str]
    plan: dict[str, Any]  # rates, seconds, repetitions, drain limits
    versions: dict[str, str]
    machine: dict[str, Any]
    git: dict[str, Any]  # commit, dirty
    broker: str
    external: dict[str, Any]  # what of the run is on other hosts, and which figures that leaves out
    noise: dict[str, Any]  # idle hiccups before the run, A/A floor
    discarded: list[dict[str, str]]  # pairs left out, each with its reason
    #: Ledger lines that a killed process left unfinished and that are left out: block, line.
    cut_lines: list[dict[str, str]]
    instrument: dict[str, Any]  # what `make verify-instrument` last found, see `bench.app.planted`
    own_app: dict[str, Any]  # of an app of one's own, see `bench.own_app.own_app`; absent for our scenarios
    stopped_by: (
        str  # why a run is not complete: "interrupt", "full disk" or "error"; empty for a complete one
    )
    parts: list[dict[str, Any]]  # measure, began, ended, blocks: when each part was measured, by sitting
    other_runs: int  # other runs on the same machine at the same time
    resumptions: list[dict[str, Any]]  # at, command, git, kept, redone: each time that the run was resumed
