"""The run directory: its files, their columns and the version that both ends agree on.

`bench` writes it and `reports` reads it, and this file is all that they share.

| file               | one row is                                                                 |
|--------------------|----------------------------------------------------------------------------|
| run.json           | the manifest: see `Manifest`                                               |
| plan.json          | every block in its order, when each fault strikes; see `bench.plan.plan_file`     |
| events-<block>.jsonl | one event of the ledger, ordered by `t` (see `scenarios.ledger`)         |
| blocks.csv         | one block that ran: what, when, hiccups, whether it counts                 |
| jobs.csv           | one job of a latency block                                                 |
| requests.csv       | one HTTP request of a latency block, as its client saw it                  |
| latency.csv        | one quantile of one metric of one side and scenario in one block           |
| comparisons.csv    | one metric of two sides, over the pairs of blocks                          |
| ticks.csv          | one run of a periodic sync                                                 |
| drift.csv          | the drift of one owner in one block                                        |
| failures.csv       | one strike of one fault at one side: each accepted job in exactly one class |
| controls.csv       | the same without the fault, as `failures.csv`; no prediction               |
| exposure.csv       | how many jobs one strike could reach, and how many of those were lost       |
| blast.csv          | what one strike did to the scenario that it did not aim at, against control |
| cost.csv           | what one latency block cost to run                                         |
| capacity.csv       | the most that one side got done, from one ramp of rates                    |
| ramps.csv          | one step of a ramp                                                         |
| loads.csv          | one block at a share of its side's capacity: who used what, did it keep up |
| load_latency.csv   | as latency.csv, at that share; nothing where the side did not keep up      |
| cold.csv           | one cold start of one side, and what each part of it took                  |
| owners.csv         | one block with so many periodic owners                                     |
| hogs.csv           | one block in which CPU-heavy jobs ran beside the requests                  |
| hog_latency.csv    | as latency.csv, without the heavy jobs and with them                       |
| own.csv            | what the measuring itself took of the processor, in one block              |
| micro.json         | call costs, in pytest-benchmark's own format                               |
| checks.json        | what became of the thresholds that the run was last held against           |
| report.html        | the report                                                                 |
| summary.json       | the same in figures, for scripts; see `reports.summary.content`            |
| summary.md         | the same for a comment under a change                                      |

Beside the runs stand `index.html`, the list of all of them, and what `compare` wrote: `compare-A-B.json`
(`COMPARED`) and `compare-A-B.html`.

A table that a run has nothing for is absent. Times are milliseconds unless the name says
otherwise; `inf` is a job that was not finished by the drain limit.
"""

from __future__ import annotations

from typing import Any, TypedDict

#: Raised by one whenever a file or a column changes its meaning.
SCHEMA_VERSION = 1

MANIFEST = "run.json"
PLAN = "plan.json"
REPORT = "report.html"
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

#: Every side that a run can measure, in the order of the reports.
SIDES = ("inprocess", "celery-stock", "celery-hardened", "celery-app", "inline")

TABLES: dict[str, tuple[str, ...]] = {
    "blocks": (
        "block",  # b001 …
        "measure",  # latency | capacity | load | cold | owners | hogs | drift | fault
        "side",
        "repetition",  # index of the ABBA round: blocks of one repetition are paired
        "seconds",  # length of the measured window, s
        "hiccup_p99_ms",
        "hiccup_max_ms",
        "steal_percent",
        "lateness_ms",  # of the generator, at p99 or the highest percentile that the requests allow
        "valid",
        "reason",  # why it does not count; empty where it does
    ),
    "jobs": (
        "block",
        "side",
        "scenario",
        "job",
        "due_ns",
        "response_ms",  # effect - due, the headline
        "uncorrected_ms",  # effect - submit
        "caller_ms",  # accepted - submit
        "pickup_ms",  # start - due
        "service_ms",  # done - start
        "seen_ms",  # done - due, where two hosts stamped effect and due; else NaN
        "outcome",  # done | unfinished | refused | unknown | failed
    ),
    "requests": ("block", "side", "scenario", "request", "due_ns", "latency_ms", "lateness_ms", "status"),
    "latency": (
        "block",
        "side",
        "scenario",
        "repetition",
        # response | uncorrected | caller | pickup | service | seen | request | lateness | host_tax | lag
        "metric",
        "quantile",  # 0.5, 0.9, 0.95, 0.99, 0.999; only from enough samples
        "value_ms",
        "n",
    ),
    "comparisons": (
        "scenario",
        "metric",
        "quantile",
        "baseline",
        "side",
        "pairs",
        "ratio",  # side / baseline, geometric mean over the pairs
        "low",  # 95 % interval of the ratio
        "high",
        "difference_ms",
        "words",  # lower | higher | no clear difference | too noisy to say
        "why",  # what led to the words, for a person
    ),
    "ticks": (
        "block",
        "side",
        "policy",
        "owner",
        "tick",
        "due_ns",
        "start_ns",
        "done_ns",
        "phase_ms",
        "duplicate",
    ),
    "drift": (
        "block",
        "side",
        "policy",  # work-then-rearm | anchored | anchored-spawn | anchored-catch-up | beat | anchored-beat
        "owner",
        "ticks_due",
        "ticks_run",
        "missed",
        "duplicates",
        "on_time_percent",
        "phase_p50_ms",
        "phase_p99_ms",
        "jitter_sd_ms",
        "jitter_p1_ms",
        "jitter_p99_ms",
        "drift_ppm",
        "cumulative_ms",
        "run_s",
        "overlaps",
        "bursts",
        "mtie_1_ms",
        "mtie_10_ms",
        "mtie_60_ms",
        "age_p99_ms",
        "age_max_ms",
    ),
    "failures": (
        "block",
        "fault",  # number in docs/faults.md
        "slug",
        "side",
        "scenario",
        "strike",
        "submitted",
        "accepted",
        "refused",
        "unknown",
        "done_once",
        "duplicated",
        "failed_visibly",
        "stuck",
        "lost",
        "late",  # NaN: two hosts stamped due and effect
        "ghost",
        "unexpected",
        "cancelled",
        "out_of_order",  # jobs that overtook another of their key
        "sum_ok",  # the five classes add up to accepted
        "at_least_once",  # held | broken | unknown
        "at_most_once",
        "t_first_s",
        "t_90_s",
        "t_clear_s",
        "caller_max_ms",
        "user_errors",  # submits refused, or whose caller waited for more than 1 s
        "lag_max_ms",  # longest lag of the app's own event loop
        "app_died",
        "predicted",  # what docs/faults.md expects, as text
        "as_predicted",  # yes | no | partly; empty: it hangs on `late`, which is not told
        "note",  # what was scaled down, for a person
        "seen",  # what the fault's own checker found, as text
        "example",  # the gravest finding: class, job, and the shortest history that shows it
    ),
    "cost": (
        "block",
        "side",
        "repetition",
        "jobs",
        "cpu_s_per_1000",
        "pss_mb",
        "broker_commands_per_job",
        "processes",
        "sockets",
        "config_lines",  # settings that whoever runs the side has to know
        "cold_start_s",
    ),
    "capacity": (
        "block",
        "side",
        "repetition",
        "capacity_per_s",  # requests of the common mix, a second
        "capacity_jobs_per_s",
        "held_per_s",  # requests a second of the steepest step that held, and …
        "broke_per_s",  # … of the first that did not
        "limited_by",  # side, or generator: at least so much
        "side_cores",  # cores in use over the steps beyond
        "services_cores",
        "generator_cores",
    ),
    "ramps": (
        "block",
        "side",
        "repetition",
        "step",
        "rate_per_s",  # requests a second
        "seconds",
        "due_jobs",
        "done_jobs",
        "backlog_start",  # jobs due and not ended
        "backlog_end",
        "oldest_s",  # age of the oldest of them at the end
        "held",  # the backlog did not grow
    ),
    "loads": (
        "block",
        "side",
        "repetition",
        "share",  # of the side's own measured capacity: 0.1 | 0.5 | 0.8 | 1.2
        "rate_per_s",  # requests a second
        "capacity_per_s",
        "seconds",
        "due_jobs",
        "done_jobs",
        "refused",
        "unknown",
        "backlog_start",
        "backlog_end",
        "growth_per_s",  # jobs by which the backlog grew each second
        "overloaded",  # it grew: no quantile of the response is told
        "oldest_s",
        "cleared_s",  # from the end of the load to the end of its last job; inf: not by the drain limit
        "side_cores",
        "services_cores",
        "generator_cores",
    ),
    "cold": (
        "block",
        "side",
        "repetition",
        "broker_s",  # from the broker's spawn until it answered; NaN: the side has none
        "app_s",  # from the app's spawn until it listened
        "worker_s",  # from the worker's spawn until it began its first job; NaN: the side has none
        "first_effect_s",  # from the side's spawn to its first effect, without the services' own start
    ),
    "owners": (
        "block",
        "side",
        "policy",  # anchored | beat fan-out | beat entries
        "repetition",
        "owners",
        "noted",  # owners that note their runs; the figures of ticks and phase are theirs
        "interval_s",
        "seconds",
        "start_s",  # until the app had started all owners; NaN where they are beat's settings
        "ticks_due",
        "ticks_run",
        "missed",
        "duplicates",
        "on_time_percent",
        "phase_p50_ms",  # start - due
        "phase_p99_ms",
        "phase_max_ms",
        "jitter_sd_ms",  # of the time between an owner's starts, minus the interval
        "jitter_p1_ms",
        "jitter_p99_ms",
        "drift_ppm",  # median over the owners
        "side_cores",  # cores in use, broker included
        "pss_mb",
        "lag_p99_ms",  # of the app's own event loop
        "lag_max_ms",
    ),
    "hogs": (
        "block",
        "side",
        "place",  # loop | thread | process | worker
        "repetition",
        "hogs",  # heavy jobs handed over
        "hogs_done",
        "hog_s",  # processor time that each takes, s
        "every_s",
        "calm_s",  # seconds without them, and with them
        "seconds",
        "lag_p99_calm_ms",  # of the app's own event loop
        "lag_p99_ms",
        "lag_max_calm_ms",
        "lag_max_ms",
        "side_cores",
    ),
    "own": (
        "block",
        "measure",
        "side",
        "seconds",
        "side_s",  # processor time of the window, s
        "services_s",
        "generator_s",
        "harness_s",
        "own_percent",  # generator and harness, of what the run's processes used together
        "own_machine_percent",  # the same, of all that the machine's cores offered
    ),
}


TABLES["exposure"] = (
    "block",
    "fault",
    "side",
    "strike",
    "scenario",
    "exposed",  # accepted jobs that the fault could reach: not done before it, accepted before its end
    "lost",  # of those
)
TABLES["blast"] = (
    "block",
    "fault",
    "side",
    "strike",
    "scenario",  # the one that the fault did not aim at
    "lost",  # share of its jobs, struck minus control; so are the next five
    "stuck",
    "failed_visibly",
    "duplicated",
    "late",
    "ghost",
    "unserved",  # share refused or without an answer, struck minus control
    "response_p50_ms",  # struck minus control
    "lag_ms",  # longest lag of the app's loop, struck minus control
)
TABLES["controls"] = TABLES["failures"]
TABLES["hog_latency"] = (*TABLES["latency"], "place", "hogs")
TABLES["load_latency"] = (*TABLES["latency"], "share", "rate_per_s")
#: A row of `compare-A-B.json`: one figure that both runs have; `a` and `b` are medians over blocks in ms.
COMPARED = (
    "scenario",
    "side",
    "metric",
    "quantile",
    "a",
    "b",
    "pairs",
    "ratio",  # b / a
    "low",  # 95 % interval of the ratio
    "high",
    "words",  # lower | higher | no clear difference | too noisy to say
    "why",
)


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
    external: dict[str, Any]  # what of the run is on other hosts, and what is not told therefore
    noise: dict[str, Any]  # idle hiccups before the run, A/A floor
    discarded: list[dict[str, str]]  # pairs left out, each with its reason
    cut_lines: list[str]  # ledger lines that a killed process left unfinished; they are left out
    instrument: dict[str, Any]  # what `make verify-instrument` last found, see `bench.app.planted`
    own_app: dict[str, Any]  # of an app of one's own, see `bench.own_app.own_app`; absent for our scenarios
    resumptions: list[
        dict[str, Any]
    ]  # at, command, git, kept, redone: each time that the run was gone on with
