"""Resume a run that was interrupted, or whose process was killed.

A block is complete when it has its row in `blocks.csv`, which is written last, and its events file.
Complete blocks are kept. Rows of any other block are removed from every table, and the block is measured
again. For a block that does not count the rules of the run apply: a latency or further block is repeated
while there are spares; a drift or fault block that failed is measured again, and `run.json` notes why.
The policies of a drift repetition run side by side, so they are kept or repeated together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from bench.errors import BenchError
from bench.plan.blocks import BlockSpec, can_retry, retry_of
from bench.plan.deployment import ALL_HERE, Deployment
from bench.plan.plan_file import planned
from bench.plan.run_plan import RunPlan
from bench.plan.run_request import RunRequest
from bench.schema import MACHINE_IDENTITY, MICRO, PLAN, SCHEMA_VERSION, TABLES
from bench.storage import environment
from bench.storage.disk_space import check_space
from bench.storage.manifest import now
from bench.storage.run_directory import RunDirectory
from bench.storage.table_repair import mend

#: Tables that are computed from the others at the end of a run.
DERIVED = ("comparisons",)
#: Reason in the record of a resumption: the block left no row.
CUT_OFF = "cut off"
#: Reason: the block is complete, another of its drift repetition is not.
BESIDE = "ran beside a block that was cut off"


def open_resumable(path: Path) -> RunDirectory:
    """Open a run to resume; raise BenchError if this version cannot resume it."""
    run = RunDirectory.open(path.resolve())
    schema, command = run.manifest["schema"], run.manifest.get("command", [])
    if schema != SCHEMA_VERSION:
        raise BenchError(
            f"{path} has schema {schema}, this version writes {SCHEMA_VERSION}: "
            "resume it with the version that began it, or measure again"
        )
    if command[:2] != ["queue-or-task", "run"]:
        raise BenchError(f"{path} was not made by `queue-or-task run`: only such a run can be resumed")
    return run


def is_complete(run: RunDirectory) -> bool:
    """Whether the run measured all that it planned."""
    return bool(run.manifest.get("finished_at")) and not run.manifest.get("interrupted")


def check_same(
    run: RunDirectory, request: RunRequest, run_plan: RunPlan, broker: str, deployment: Deployment = ALL_HERE
) -> None:
    """Raise BenchError if machine, versions, broker, hosts or plan differ from those of the first part."""
    manifest = run.manifest
    here, there = environment.machine(), manifest.get("machine", {})
    _check("machine", {key: there.get(key) for key in MACHINE_IDENTITY}, here)
    _check("version", manifest.get("versions", {}), environment.versions())
    _check("broker", {"broker": manifest.get("broker")}, {"broker": broker})
    _check("set of hosts", manifest.get("external", {}), deployment.manifest())
    try:
        before = (run.path / PLAN).read_text()
    except OSError as error:
        raise BenchError(f"{run.path} has no readable {PLAN}: measure again") from error
    if before != planned(request, run_plan):
        raise BenchError(
            f"this version plans other blocks or moments than {run.path / PLAN}: "
            "resume it with the version that began it, or measure again"
        )
    check_space(run.path)


def prepare(run: RunDirectory, run_plan: RunPlan, command: Sequence[str]) -> RunPlan:
    """Remove incomplete blocks, note the resumption in `run.json`; return the rest of the plan."""
    shutil.rmtree(run.path / "work", ignore_errors=True)
    for table in TABLES:
        mend(run.path / f"{table}.csv")
    rows = _complete_rows(run)
    left = _left(run_plan, rows, has_micro=_is_json(run.path / MICRO))
    todo = {spec.name for spec in _specs(left)}
    kept = rows.keys() - todo
    record = {
        "at": now(),
        "command": list(command),
        "git": environment.commit(Path(__file__).parent.parent),
        "kept": len(kept),
        "redone": [{"block": name, "reason": _why(rows.get(name))} for name in _started(run) if name in todo],
    }
    _keep_only(run, kept)
    lines: list[Any] = run.manifest.get("cut_lines", [])  # one of an earlier version is text, and stays
    cut = [line for line in lines if not isinstance(line, dict) or line.get("block") in kept]
    past = run.manifest.get("resumptions", [])
    run.save_manifest(
        cut_lines=cut, interrupted=False, stopped_by="", finished_at=None, resumptions=[*past, record]
    )
    return left


def remove_blocks(run: RunDirectory, names: Sequence[str]) -> None:
    """Remove these blocks from the tables, with their events, and any row that was not written in full."""
    for table in _tables():
        mend(run.path / f"{table}.csv", lambda row: row["block"] not in names)
    for name in names:
        _events(run, name).unlink(missing_ok=True)


def _check(what: str, before: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for name, value in before.items():
        if here.get(name) != value:
            raise BenchError(
                f"the run began with another {what} ({name} was {value!r}, is "
                f"{here.get(name)!r} now): resume it there, or measure again"
            )


def _complete_rows(run: RunDirectory) -> dict[str, Mapping[str, Any]]:
    """The row of each complete block, by its name."""
    records = cast("list[dict[str, Any]]", run.table("blocks").to_dict("records"))
    rows = {str(row["block"]): row for row in records}
    return {name: row for name, row in rows.items() if not row["valid"] or _has_events(run, name)}


def _has_events(run: RunDirectory, name: str) -> bool:
    path = _events(run, name)
    return path.exists() and path.stat().st_size > 0


def _events(run: RunDirectory, name: str) -> Path:
    return run.path / f"events-{name}.jsonl"


def _left(run_plan: RunPlan, rows: Mapping[str, Mapping[str, Any]], *, has_micro: bool) -> RunPlan:
    """The rest of the plan, given the rows of the complete blocks."""
    good = {name for name, row in rows.items() if row["valid"]}
    latency, spares = _left_of(run_plan.latency, run_plan.spares, rows)
    others, further_spares = _left_of(run_plan.further, run_plan.further_spares, rows)
    return replace(
        run_plan,
        latency=latency,
        further=others,
        drift=[together for together in run_plan.drift if any(spec.name not in good for spec in together)],
        faults=[spec for spec in run_plan.faults if spec.name not in good],
        micro=run_plan.micro and not has_micro,
        spares=spares,
        further_spares=further_spares,
    )


def _left_of(
    taken: Sequence[BlockSpec], spares: int, rows: Mapping[str, Mapping[str, Any]]
) -> tuple[list[BlockSpec], int]:
    """Which of these blocks, or of their repetitions, are left to measure, and the spares left."""
    retries = {spec.name: retry_of(spec) for spec in taken}
    spares -= sum(retry.name in rows for retry in retries.values())
    left = []
    for spec in taken:
        retry = retries[spec.name]
        if spec.name not in rows:
            left.append(spec)
        elif spares and retry.name not in rows and _can_retry(spec, rows[spec.name]):
            spares -= 1
            left.append(retry)
    return left, spares


def _can_retry(spec: BlockSpec, row: Mapping[str, Any]) -> bool:
    return not row["valid"] and can_retry(spec, str(row["reason"]))


def _specs(run_plan: RunPlan) -> list[BlockSpec]:
    return [
        *run_plan.latency,
        *run_plan.further,
        *(spec for together in run_plan.drift for spec in together),
        *run_plan.faults,
    ]


def _started(run: RunDirectory) -> list[str]:
    """The blocks that left a row or events, by name."""
    rows = {str(name) for table in _tables() for name in run.table(table)["block"]}
    events = {path.stem.removeprefix("events-") for path in run.path.glob("events-*.jsonl")}
    return sorted(rows | events)


def _why(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return CUT_OFF
    return BESIDE if row["valid"] else str(row["reason"])


def _keep_only(run: RunDirectory, kept: set[str]) -> None:
    """Remove every other block from every table, its events, and the derived tables."""
    for table in _tables():
        mend(run.path / f"{table}.csv", lambda row: row["block"] in kept)
    for table in DERIVED:
        (run.path / f"{table}.csv").unlink(missing_ok=True)
    whole = {_events(run, name) for name in kept}
    for path in run.path.glob("events-*.jsonl"):
        if path not in whole:
            path.unlink()


def _tables() -> list[str]:
    """The tables whose rows belong to blocks."""
    return [name for name, columns in TABLES.items() if "block" in columns]


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True
