"""A run's figures computed again, and held against its tables and its summary."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.recompute import jobs, periodic
from bench.recompute.jobs import Job
from bench.recompute.quantiles import MINIMUM, holm, quantile, ratio

#: Faults of docs/faults.md that kill, that are there from the start, and that outlast their strike.
KILLS = {6, 10, 11, 12, 13, 14, 20, 21, 28, 37}
FROM_START = {1, 2, 3, 4, 5, 19, 25, 29, 31, 33, 38}
OUTLASTS = {15, 18, 30, 32, 35}
#: Columns that are left out where the machine was too noisy for times.
LEFT_OUT = ("late", "caller_max_ms")
#: Relative and absolute difference from which two figures disagree: rounding of a slope, not of a count.
RELATIVE, ABSOLUTE = 1e-6, 1e-5
#: Nanoseconds between two syncs of the built-in scenarios.
INTERVAL_NS = 1_000_000_000
#: A number and a multiplication sign as pages print them.
TIMES = "\N{MULTIPLICATION SIGN}"
NUMBER = r"(\d[\d,]*(?:\.\d+)?)"

Row = Mapping[str, str]
Figure = tuple[str, str, str]  # scenario, metric, quantile


class Recomputation:
    """Everything that can be computed again of one run; `disagreements` and `notes` are for people."""

    def __init__(self, run: Path) -> None:
        self.run, self.compared = run, 0
        manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
        self.own_app: Mapping[str, Any] = manifest.get("own_app") or {}
        self.disagreements: list[str] = []
        self.notes: list[str] = []
        self.blocks = {row["block"]: row for row in self.rows("blocks")}
        self._jobs: dict[str, list[Job]] = {}
        #: figure -> side -> repetition -> values of its blocks that count
        self.values: dict[Figure, dict[str, dict[str, list[float]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        self.ages: dict[tuple[str, str], list[float]] = defaultdict(list)
        #: fault, scenario, side -> sums over the strikes that count
        self.sums: dict[tuple[str, str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.ratios: list[dict[str, float]] = []

    def check(self) -> None:
        """Compute and compare all tables, then the summary."""
        if not any(self.run.glob("events-*.jsonl")):
            self.notes.append("no event logs: comparisons and sums are computed from the run's own tables")
        elif not any(row.get("start_ns") for row in self.blocks.values()):
            self.notes.append("blocks.csv has no windows: latency and drift are not computed again")
        for step in (self.latency, self.drift, self.failures, self.exposures, self.comparisons, self.summary):
            step()

    def rows(self, table: str) -> list[dict[str, str]]:
        """The rows of a table; none where it is absent."""
        path = self.run / f"{table}.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def equal(self, where: str, theirs: object, mine: float) -> None:
        """Compare one figure of the run with ours."""
        self.compared += 1
        found = number(theirs)
        same = found == mine or (math.isnan(found) and math.isnan(mine))
        if not same and not math.isclose(found, mine, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            self.disagreements.append(f"{where}: the run has {found:.6g}, recomputed {mine:.6g}")

    def counts(self, block: str) -> bool:
        """Whether a block is valid."""
        return self.blocks.get(block, {}).get("valid", "True") != "False"

    def window(self, block: str) -> tuple[int, int] | None:
        """The window of a block; None where the run does not tell it or has no events of it."""
        row = self.blocks.get(block, {})
        known = row.get("start_ns") and self.events_path(block).exists()
        return (int(float(row["start_ns"])), int(float(row["end_ns"]))) if known else None

    def events_path(self, block: str) -> Path:
        """Where the events of a block are."""
        return self.run / f"events-{block}.jsonl"

    def jobs_of(self, block: str) -> list[Job]:
        """The jobs of a block."""
        if block not in self._jobs:
            self._jobs[block] = list(jobs.jobs_of(jobs.read_events(self.events_path(block))).values())
        return self._jobs[block]

    def latency(self) -> None:
        """Each quantile of each block, and that none is missing or too many."""
        for table, measure in (("latency", "latency"), ("load_latency", "load")):
            theirs: dict[str, dict[Figure, Row]] = defaultdict(dict)
            for row in self.rows(table):
                theirs[row["block"]][row["scenario"], row["metric"], f"{float(row['quantile']):g}"] = row
            for block, found in self.blocks.items():
                if found["measure"] != measure:
                    continue
                window, told = self.window(block), theirs[block]
                mine = self._quantiles(block, window) if window else {}
                for figure, cell in told.items():
                    value = mine.get(figure, number(cell["value_ms"]))
                    if figure in mine:
                        self.equal(f"{table} {block} {' '.join(figure)}", cell["value_ms"], value)
                    if measure == "latency" and self.counts(block):
                        self.values[figure][cell["side"]][cell["repetition"]].append(value)
                if window and "requests" in next(iter(told.values()), {}) and measure == "latency":
                    for figure in mine.keys() ^ {key for key in told if key[1] not in {"host_tax", "seen"}}:
                        which = "recomputed" if figure in mine else "the run"
                        self.disagreements.append(f"{table} {block} {' '.join(figure)}: only {which} has it")

    def _quantiles(self, block: str, window: tuple[int, int]) -> dict[Figure, float]:
        pooled: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
        for job in self.jobs_of(block):
            if not window[0] <= job.due < window[1]:
                continue
            for metric, value in job.metrics().items():
                if not math.isnan(value):
                    pooled[job.scenario, metric].append((job.request, value))
            if "due" in job.times:
                for metric, event in (("request", "response"), ("lateness", "request")):
                    sample = (job.request, (job.first(event) - job.due) / 1e6)
                    if sample not in pooled[job.scenario, metric]:
                        pooled[job.scenario, metric].append(sample)
        return {
            (scenario, metric, f"{q:g}"): quantile([value for _, value in samples], q)
            for (scenario, metric), samples in pooled.items()
            for q, least in MINIMUM.items()
            if len({request for request, _ in samples}) >= least
        }

    def drift(self) -> None:
        """Ticks, phase, drift and age of each owner."""
        entries = {entry["name"]: entry for entry in self.own_app.get("entries") or []}
        runs: dict[str, dict[str, list[periodic.Run]]] = {}
        for row in self.rows("drift"):
            block, mine = row["block"], {"age_p99_ms": number(row["age_p99_ms"])}
            if window := self.window(block):
                if block not in runs:
                    runs[block] = periodic.runs_of(jobs.read_events(self.events_path(block)))
                every_ns = round(float(entries.get(row["policy"], {}).get("every_s", 1)) * INTERVAL_NS)
                mine = periodic.drift_row(runs[block].get(row["owner"], []), *window, every_ns)
                for name, value in mine.items():
                    self.equal(f"drift {block} {row['owner']} {name}", row[name], value)
            if self.counts(block) and not math.isnan(mine["age_p99_ms"]):
                self.ages[row["side"], row["policy"]].append(mine["age_p99_ms"])

    def failures(self) -> None:
        """The classes of each strike's jobs."""
        deadlines_ms: dict[str, float] = {}
        for task in self.own_app.get("tasks") or []:
            ms = 1000 * float(task.get("deadline_s") or jobs.DEADLINE_MS / 1000)
            deadlines_ms[task["name"]] = min(ms, deadlines_ms.get(task["name"], math.inf))
        for table in ("failures", "controls"):
            for row in self.rows(table):
                block, scenario = row["block"], row["scenario"]
                mine = {name: number(row[name]) for name in ("accepted", "unknown", "late", *jobs.CLASSES)}
                if self.events_path(block).exists() and scenario not in jobs.PERIODIC:
                    own = [job for job in self.jobs_of(block) if job.scenario == scenario]
                    mine = jobs.failure_counts(own, deadlines_ms.get(scenario, jobs.DEADLINE_MS))
                    for name, value in mine.items():
                        is_left_out = name in LEFT_OUT and math.isnan(number(row[name]))
                        if not is_left_out:
                            self.equal(f"{table} {block} {scenario} {name}", row[name], value)
                if table == "failures" and self.counts(block):
                    self._add(row, mine | {"strikes": 1})

    def exposures(self) -> None:
        """The jobs that each strike could reach, and the lost among them."""
        for row in self.rows("exposure"):
            exposed = {"exposed": number(row["exposed"])}
            if bounds := self._fault_window(row):
                found = [job for job in self.jobs_of(row["block"]) if job.scenario == row["scenario"]]
                exposed = jobs.exposure(found, *bounds)
                for name, value in exposed.items():
                    if name in row:
                        self.equal(f"exposure {row['block']} {row['scenario']} {name}", row[name], value)
            if self.counts(row["block"]):
                self._add(row, {"exposed": exposed["exposed"]})

    def _add(self, row: Row, counts: Mapping[str, float]) -> None:
        sums = self.sums[f"{float(row['fault'] or 'nan'):.0f}", row["scenario"], row["side"]]
        for name, value in counts.items():
            sums[name] += 0 if math.isnan(value) else value

    def _fault_window(self, row: Row) -> tuple[float, float] | None:
        """From when until when the fault of a block could reach a job."""
        if not self.events_path(row["block"]).exists():
            return None
        events, fault = jobs.read_events(self.events_path(row["block"])), int(float(row["fault"]))
        marks = [[e["t"] for e in events if e["event"] == kind] for kind in ("fault_on", "fault_off")]
        if fault in FROM_START:
            return -math.inf, math.inf
        if not marks[0]:
            return math.inf, -math.inf  # nothing was killed
        if fault in KILLS and "unanswered" in row:
            return marks[0][0], marks[0][0]
        return marks[0][0], math.inf if fault in OUTLASTS else max(marks[1])

    def comparisons(self) -> None:
        """Each ratio with its interval, and its p-value corrected over the table."""
        rows, found = self.rows("comparisons"), []
        for row in rows:
            sides = self.values[row["scenario"], row["metric"], f"{float(row['quantile']):g}"]
            base, side = sides[row["baseline"]], sides[row["side"]]
            pairs = sorted(base.keys() & side.keys())
            mean = [[math.exp(fmean(map(math.log, of[pair]))) for pair in pairs] for of in (base, side)]
            mine = ratio(*mean) if pairs else dict.fromkeys(("ratio", "low", "high", "p"), math.nan)
            enough = len(pairs) >= number(row.get("pairs_needed") or 0)
            found.append(mine | {"pairs": len(pairs), "p": mine["p"] if enough else math.nan})
        corrected = holm([one["p"] for one in found])
        for row, mine, p_holm in zip(rows, found, corrected, strict=True):
            where = " ".join(row[name] for name in ("scenario", "metric", "quantile", "side"))
            for name in ("pairs", "ratio", "low", "high"):
                self.equal(f"comparisons {where} {name}", row[name], mine[name])
            if "p_holm" in row:
                self.equal(f"comparisons {where} p_holm", row["p_holm"], p_holm)
            if row["words"] in {"higher", "lower"}:
                self.equal(
                    f"comparisons {where}: {row['words']}", row["words"] == "higher", mine["ratio"] > 1
                )
        self.ratios = found

    def summary(self) -> None:
        """The key figures, the sums of the faults, and the numbers in the verdicts of the first screen."""
        path = self.run / "summary.json"
        if not path.exists():
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        for item in found["figures"]:
            for name, value in self._key_figure(item).items():
                self.equal(
                    f"summary {item['key']} {item['scenario']} {item['side']} {name}", item[name], value
                )
        for item in found["faults"]:
            sums = self.sums[str(item["fault"]), item["scenario"], item["side"]]
            for name in ("strikes", "accepted", *jobs.CLASSES, "exposed"):
                if item.get(name) is not None:
                    where = f"summary fault {item['fault']} {item['scenario']} {item['side']} {name}"
                    self.equal(where, item[name], sums[name])
        for verdict in found["verdicts"]:
            marks = [mark["text"] for mark in verdict.get("marks", ())]
            self._first_screen(verdict["scenario"], "; ".join([verdict["sentence"], *marks]))

    def _key_figure(self, item: Mapping[str, Any]) -> dict[str, float]:
        key, scenario, side = item["key"], item["scenario"], item["side"]
        if key.startswith("lost_"):
            sums = self.sums[key.removeprefix("lost_"), scenario, side]
            exposed = max(sums["exposed"], sums["lost"]) if "exposed" in sums else sums["accepted"]
            known = {"value": sums["lost"] / exposed} if item["value"] is not None else {}
            return known | {"n": exposed}
        if key == "age_p99":
            values = self.ages[side, item["policy"]]
        elif key.endswith("_p50"):
            by_round = self.values[scenario, key.removesuffix("_p50"), "0.5"][side]
            values = [value for blocks in by_round.values() for value in blocks]
        else:
            return {}
        if not values:
            return {"n": 0}
        return {"value": median(values), "low": min(values), "high": max(values), "n": len(values)}

    def _first_screen(self, scenario: str, text: str) -> None:
        """Each count, age, cost and ratio of a verdict must be one of ours, as it is printed."""
        sums = [one for (_, of, _), one in self.sums.items() if of == scenario]
        pairs = {(one["lost"], one[of]) for one in sums for of in ("exposed", "accepted")}
        pairs |= {(one["late"], one["accepted"]) for one in sums}
        ages = {(rounded(median(values), 4),) for values in self.ages.values()}
        costs = [
            median(counted)
            for metric in ("caller", "response")
            for rounds in self.values[scenario, metric, "0.5"].values()
            if (counted := [value for blocks in rounds.values() for value in blocks])
        ]
        ratios = [one["ratio"] for one in self.ratios if one["ratio"] > 0]
        expected = (
            (rf"lost {NUMBER} of {NUMBER}", pairs),
            (rf"{NUMBER} of {NUMBER} (?:exposed|accepted)", pairs),
            (rf"{NUMBER} ms with", ages),
            (rf"age p99 {NUMBER} ms", ages),
            (rf"(?:pays|response) {NUMBER} ms", {(rounded(value),) for value in costs}),
            (rf"pays {NUMBER} µs", {(rounded(value * 1000),) for value in costs}),
            (
                rf"\({NUMBER} {TIMES}",
                {(rounded(one),) for one in ratios} | {(rounded(1 / one),) for one in ratios},
            ),
        )
        for pattern, known in expected:
            for words in re.finditer(pattern, text):
                self.compared += 1
                if tuple(map(number, words.groups())) not in known:
                    self.disagreements.append(
                        f"first screen, {scenario}: {words[0]!r} is no figure recomputed"
                    )


def number(cell: object) -> float:
    """A cell as a number; NaN for an empty one."""
    try:
        return float(str(cell).replace(",", ""))
    except ValueError:
        return {"True": 1.0, "False": 0.0}.get(str(cell), math.nan)


def rounded(value: float, digits: int = 3) -> float:
    """A number as the pages print it."""
    return float(f"{value:.{digits}g}")
