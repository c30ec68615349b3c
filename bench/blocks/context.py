"""What every block of a run shares, and the small steps that more than one kind of block takes."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.ledger import reader
from bench.load.load_plan import REQUESTED, Plan, make_plan
from bench.own_app import effects
from bench.own_app.own_app import OwnApp
from bench.own_app.own_stack import OwnStack
from bench.plan.blocks import Turn
from bench.plan.deployment import ALL_HERE, Found
from bench.plan.profiles import Profile
from bench.process.process_table import Process, ProcessTable, file_of
from bench.stack.stack import Stack
from bench.storage.run_directory import RunDirectory
from scenarios.jobs import ACCOUNT_SYNC

#: Seconds that a request may take before its client gives up on it.
REQUEST_LIMIT_S = 10.0
#: Seconds after which a generator that should have ended is stopped.
GENERATOR_END_S = REQUEST_LIMIT_S + 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One run: where it writes, what it starts, how much it measures."""

    directory: RunDirectory
    table: ProcessTable
    profile: Profile
    seed: int
    scenarios: list[str]
    #: The app of one's own that is measured in place of ours.
    own: OwnApp | None = None
    elsewhere: Found = ALL_HERE

    @property
    def requested(self) -> list[str]:
        """The scenarios whose load arrives as requests; the sync keeps a grid of its own."""
        return [scenario for scenario in self.scenarios if scenario in REQUESTED]

    def folder(self, turn: Turn) -> Path:
        """The block's working folder; it is removed when the block is over."""
        return self.directory.path / "work" / turn.name

    def ledger_context(self, turn: Turn) -> dict[str, str]:
        """What every event of the block carries."""
        told = {"run": self.directory.manifest["run"], "block": turn.name, "side": turn.side.name}
        return told | ({"host": self.elsewhere.host} if self.elsewhere.host else {})

    def make_stack(self, turn: Turn, **options: Any) -> Stack:
        """The turn's side, to be started; the options are those of Stack."""
        shared: dict[str, Any] = {
            "folder": self.folder(turn),
            "table": self.table,
            "context": self.ledger_context(turn),
        }
        if self.own is None:
            return Stack(turn.side, elsewhere=self.elsewhere, **shared, **options)
        return OwnStack(self.own, turn.side, **shared, **options)

    def load(self, turn: Turn, *, seconds: float, seed: int | None = None, rate: float | None = None) -> Plan:
        """The load of a turn, the same for every side of its round unless it has a `seed` of its own.

        `rate` is of all scenarios together; without it each has the common rate.
        """
        drawn = self.draw("load", turn.repetition).getrandbits(32) if seed is None else seed
        if self.own is not None:
            return self.own.load(seed=drawn, prefix=turn.name, seconds=seconds, rate=rate)
        each = self.profile.rate if rate is None else rate / len(self.requested)
        return make_plan(
            seed=drawn,
            prefix=turn.name,
            rates=dict.fromkeys(self.requested, each),
            seconds=seconds,
            owners=self.profile.owners if ACCOUNT_SYNC in self.scenarios else 0,
        )

    def draw(self, *parts: object) -> random.Random:
        """A generator of its own for each part of the run, from the run's seed."""
        return random.Random("/".join(map(str, (self.seed, *parts))))  # noqa: S311 - a plan, no secret

    async def start_generator(self, stack: Stack, plan: Plan, *, lead_s: float) -> tuple[Process, int]:
        """Start the load generator; return it and the plan's zero, `lead_s` after it was warm (ns)."""
        path, announce = stack.folder / "plan.json", stack.folder / "generator.json"
        path.write_text(plan.to_json())
        generator = self.table.start(
            "generator",
            [
                *(sys.executable, "-m", "bench.load.generator", "--plan", str(path), "--url", stack.app_url),
                *("--lead-s", str(lead_s), "--timeout-s", str(REQUEST_LIMIT_S), "--announce", str(announce)),
            ],
            env=stack.env,
            folder=stack.folder,
        )
        return generator, int(json.loads(await file_of(generator, announce))["start_ns"])

    async def end_generator(self, generator: Process) -> None:
        """Wait for the generator's last answer; raise BenchError where it offered no whole plan."""
        await generator.ended(within_s=GENERATOR_END_S)
        code, last_words = generator.exit_code(), generator.tail(1)
        await self.table.stop(generator)
        if code != 0:
            raise BenchError(f"the load generator ended with {code}: {last_words}")

    def keep_events(self, turn: Turn) -> tuple[list[dict[str, Any]], list[str]]:
        """Merge the block's ledger into the run directory, remove its folder, return events and warnings."""
        folder = self.folder(turn)
        target = self.directory.path / f"events-{turn.name}.jsonl"
        warnings = reader.merge_block(folder / "ledger", target)
        if warnings:  # the run is marked: a reader of the report sees that lines are missing, and which
            cut = [{"block": turn.name, "line": warning.removeprefix(f"{folder}/")} for warning in warnings]
            self.directory.save_manifest(cut_lines=[*self.directory.manifest.get("cut_lines", []), *cut])
        events, _ = reader.read_events(target)
        if self.own is not None:
            events = effects.counted(events)
        shutil.rmtree(folder, ignore_errors=True)
        return events, warnings


async def sleep_until(monotonic_ns: int) -> None:
    """Sleep until a moment of `time.monotonic_ns`; return at once where it is past."""
    await asyncio.sleep(max(0.0, (monotonic_ns - time.monotonic_ns()) / 1e9))
