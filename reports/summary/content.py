"""`summary.json`: a run in figures, for scripts. While `summary` is 1 no key changes its meaning or goes.

| key           | value                                                                              |
|---------------|------------------------------------------------------------------------------------|
| summary       | the version of this shape                                                          |
| schema        | the version of the run directory's files (`bench.schema`)                          |
| run           | the run's name                                                                     |
| started_at, finished_at | ISO 8601, UTC; finished_at is null while a run is not whole               |
| interrupted   | whether Ctrl-C ended the run                                                       |
| profile, seed, command | as given; the command as one line                                         |
| commit, dirty | the commit that measured, and whether files differed from it                       |
| machine       | cores, memory_gb, processor, system                                                |
| versions      | version of Python and of each package that matters                                 |
| stamps        | warnings to read before quoting a figure                                           |
| problems      | files that could not be read in full                                               |
| missing       | `what` the run lacks, and the `command` that fills it                              |
| blocks        | `total`, and how many were left out as `invalid`                                   |
| measured      | how many blocks of each measure count; `micro`: how many call costs                |
| answer        | the headline: each choice with its scenarios and their conditions                  |
| verdicts      | scenario, choice (no queue, journal, queue, neither, unsettled, not measured),     |
|               | take (the choice with its queue, as "a hardened queue"), condition, queue_note     |
|               | (what that queue is), sentence, question, numbers (label, value, detail), caveat,  |
|               | marks (for each side: state held, broken or unknown, text, at, also), but (the     |
|               | worst fault of a side that is good enough, as a mark), reason (what the marks      |
|               | compare)                                                                           |
| figures       | key, scenario, side, policy, unit, value, low, high, n: `reports.summary.figures`  |
| comparisons   | a metric's quantile of side over baseline: pairs, ratio with low and high (95 %),  |
|               | difference_ms, words, why                                                          |
| faults        | fault, name, scenario, side, aimed (whether the fault aims at the scenario),       |
|               | strikes, accepted and what became of those: done_once, duplicated, failed_visibly, |
|               | stuck, lost; exposed (null if not recorded), late, unknown (callers without an     |
|               | answer); at_least_once, at_most_once (held, broken, unknown), lost_bound (the      |
|               | largest share of strikes that may lose a job, 95 %)                                |
| thresholds    | text, subject, value, met: what `queue-or-task check` last found                   |
| manifest_sha256 | of the run.json that all this was made from                                      |

A number that was not measured is null; one that was not reached by the limit is the text "inf".
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.schema import MACHINE_IDENTITY
from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.failure.cells import state
from reports.pages import report
from reports.summary.figures import figures
from reports.summary.plain import plain
from reports.verdicts import Verdict, verdicts

#: Raised by one when a key changes its meaning or goes.
SUMMARY_VERSION = 1
#: Accepted jobs and their classes, summed over the strikes of a fault.
_COUNTS = ("accepted", "done_once", "duplicated", "failed_visibly", "stuck", "lost", "late", "unknown")
_COMPARED = ("scenario", "metric", "quantile", "baseline", "side", "pairs", "ratio", "low", "high")


def summary(run: Run) -> dict[str, Any]:
    """The summary as plain values for JSON; the same run gives the same summary."""
    judged = verdicts(run)
    git, machine = run.mapping("git"), run.mapping("machine")
    dirty = git.get("dirty")
    whole: dict[str, Any] = plain(
        {
            "summary": SUMMARY_VERSION,
            "schema": run.manifest["schema"],
            "run": run.text("run") or run.directory.name,
            "started_at": run.text("started_at"),
            "finished_at": run.text("finished_at"),
            "interrupted": bool(run.manifest.get("interrupted")),
            "profile": run.profile,
            "seed": run.manifest.get("seed"),
            "command": rerun_commands.run_again(run),
            "commit": str(git.get("commit") or "unknown"),
            "dirty": dirty if isinstance(dirty, bool) else None,
            "machine": {name: machine.get(name) for name in MACHINE_IDENTITY},
            "versions": {name: str(version) for name, version in run.mapping("versions").items()},
            "stamps": report.stamps(run),
            "problems": run.problems,
            "missing": [gap for verdict in judged for gap in verdict.gaps],
            "blocks": {"total": len(run.tables["blocks"]), "invalid": len(run.invalid_blocks())},
            "measured": _measured(run),
            "answer": report.answer(judged),
            "verdicts": [_verdict(verdict) for verdict in judged],
            "figures": figures(run),
            "comparisons": _comparisons(run),
            "faults": _faults(run),
            "thresholds": run.checks,
            "manifest_sha256": run.fingerprint,
        }
    )
    return whole


def _measured(run: Run) -> dict[str, int]:
    rows = run.table("blocks")  # those that count
    found = {
        str(measure): int(blocks) for measure, blocks in rows["measure"].value_counts(sort=False).items()
    }
    return found | ({"micro": len(run.micro)} if run.micro else {})


def _exposed(run: Run, strikes: pd.DataFrame, scenario: str) -> int | None:
    table = run.table("exposure")
    exposed = table[table["block"].isin(strikes["block"]) & (table["scenario"] == scenario)]["exposed"]
    return evidence.total(exposed) if exposed.notna().any() else None


def _verdict(verdict: Verdict) -> dict[str, Any]:
    names = ("scenario", "choice", "take", "condition", "queue_note", "sentence", "question", "numbers")
    return {name: getattr(verdict, name) for name in (*names, "caveat", "marks", "but", "reason")}


def _comparisons(run: Run) -> list[dict[str, Any]]:
    found = run.table("comparisons")
    found = found[found["metric"] != "host_tax"]  # a ratio of two differences near zero says nothing
    kept = (*_COMPARED, "difference_ms", "words", "why")
    return [{name: row[name] for name in kept} for row in found.to_dict("records")]


def _faults(run: Run) -> list[dict[str, Any]]:
    """A row for each fault, scenario and side: sums over its strikes, in the order of the faults."""
    failures = run.table("failures").dropna(subset=["fault"]).sort_values("fault", kind="stable")
    keys = ["fault", "scenario", "side"]
    finite = failures[list(_COUNTS)].replace([math.inf, -math.inf], math.nan)
    sums = finite.groupby([failures[key] for key in keys], sort=False).sum().to_dict("index")
    rows = []
    for key, group in groups(failures, *keys):
        number, scenario, side = key
        counts = {str(name): int(total) for name, total in sums[key].items()}
        struck = int((group["lost"] > 0).sum())
        rows.append(
            {
                "fault": int(number) if math.isfinite(number) else None,
                "name": formatting.fault(number, group["slug"].iloc[0]),
                "scenario": scenario,
                "side": side,
                "aimed": bool((group["predicted"] != "").any()),
                "strikes": len(group),
                **counts,
                "exposed": _exposed(run, group, str(scenario)),
                "at_least_once": state(group["at_least_once"], counts["lost"]),
                "at_most_once": state(group["at_most_once"], counts["duplicated"]),
                "lost_bound": formatting.upper_bound(struck, len(group)),
            }
        )
    return rows
