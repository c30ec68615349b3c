"""What every block of a run shares, and the small steps that more than one kind of block takes."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.ledger import reader
from bench.load.load_plan import LoadPlan
from bench.plan.blocks import BlockSpec
from bench.plan.deployment import ALL_HERE, Deployment
from bench.plan.profiles import Profile
from bench.plan.strikes import draw
from bench.plan.subject import SideOptions, Subject, Workspace
from bench.process.process_table import Process, ProcessTable, wait_for_file
from bench.stack.stack import Stack
from bench.storage.run_directory import RunDirectory
from queue_or_task import module_command

#: The load generator, which is a program: its HTTP client is not loaded here.
GENERATOR = "bench.load.generator"
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
    subject: Subject[Stack]
    deployment: Deployment = ALL_HERE

    def folder(self, spec: BlockSpec) -> Path:
        """The block's working folder; it is removed when the block is over."""
        return self.directory.path / "work" / spec.name

    def ledger_context(self, spec: BlockSpec) -> dict[str, str]:
        """What every event of the block carries."""
        told = {"run": self.directory.manifest["run"], "block": spec.name, "side": spec.side.name}
        return told | ({"host": self.deployment.host} if self.deployment.host else {})

    def make_stack(self, spec: BlockSpec, options: SideOptions | None = None) -> Stack:
        """The block's side, to be started."""
        workspace = Workspace(
            folder=self.folder(spec),
            table=self.table,
            context=self.ledger_context(spec),
            deployment=self.deployment,
        )
        return self.subject.make_stack(spec, workspace, options or SideOptions())

    def load(
        self,
        spec: BlockSpec,
        *,
        seconds: float,
        seed: int | None = None,
        rate: float | None = None,
        owners: bool = True,
    ) -> LoadPlan:
        """The load of a block, the same for every side of its round unless it has a `seed` of its own.

        `rate` and `owners` are those of `Subject.load`.
        """
        drawn = self.draw("load", spec.repetition).getrandbits(32) if seed is None else seed
        return self.subject.load(
            profile=self.profile, seed=drawn, prefix=spec.name, seconds=seconds, rate=rate, owners=owners
        )

    def draw(self, *parts: object) -> random.Random:
        """A generator of its own for each part of the run, from the run's seed."""
        return draw(self.seed, *parts)

    async def start_generator(self, stack: Stack, plan: LoadPlan, *, lead_s: float) -> tuple[Process, int]:
        """Start the load generator; return it and the plan's zero, `lead_s` after it was warm (ns)."""
        path, announce = stack.folder / "plan.json", stack.folder / "generator.json"
        path.write_text(plan.to_json())
        generator = self.table.start(
            "generator",
            module_command(
                GENERATOR,
                *("--plan", str(path), "--url", stack.processes.app_url),
                *("--lead-s", str(lead_s), "--timeout-s", str(REQUEST_LIMIT_S), "--announce", str(announce)),
            ),
            env=stack.processes.env,
            folder=stack.folder,
        )
        return generator, int(json.loads(await wait_for_file(generator, announce))["start_ns"])

    async def end_generator(self, generator: Process) -> None:
        """Wait for the generator's last answer; raise BenchError where it offered no whole plan."""
        await generator.ended(within_s=GENERATOR_END_S)
        code, last_words = generator.exit_code(), generator.tail(1)
        await self.table.stop(generator)
        if code != 0:
            raise BenchError(f"the load generator ended with {code}: {last_words}")

    def keep_events(self, spec: BlockSpec) -> tuple[list[dict[str, Any]], list[str]]:
        """Merge the block's ledger into the run directory, remove its folder, return events and warnings."""
        folder = self.folder(spec)
        target = self.directory.path / f"events-{spec.name}.jsonl"
        warnings = reader.merge_block(folder / "ledger", target)
        if warnings:  # the run is marked: a reader of the report sees that lines are missing, and which
            cut = [{"block": spec.name, "line": warning.removeprefix(f"{folder}/")} for warning in warnings]
            self.directory.save_manifest(cut_lines=[*self.directory.manifest.get("cut_lines", []), *cut])
        events = self.subject.read_events(target)
        shutil.rmtree(folder, ignore_errors=True)
        return events, warnings


async def sleep_until(monotonic_ns: int) -> None:
    """Sleep until a moment of `time.monotonic_ns`; return at once where it is past."""
    await asyncio.sleep(max(0.0, (monotonic_ns - time.monotonic_ns()) / 1e9))
