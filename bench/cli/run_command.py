"""The commands of `bench.cli.commands`, without their options."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from bench.analysis.comparison_page import plain
from bench.analysis.report_program import display_path, render
from bench.analysis.threshold_results import ThresholdResult, threshold_results
from bench.analysis.threshold_syntax import Threshold
from bench.atomic_write import write_atomically
from bench.errors import EXIT_BAD_RESULT, EXIT_INTERRUPTED, BenchError
from bench.own_app.own_request import OwnAppOptions, make_own_request, refuse_without_app
from bench.plan.deployment import DeploymentRequest
from bench.plan.profiles import profile
from bench.plan.run_request import RunRequest, make_run_request
from bench.run import conclusion, resume
from bench.run.runner import INTERRUPT, continue_run, execute
from bench.schema import CHECKS, MANIFEST
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage.run_directory import RunDirectory

__all__ = [
    "check_thresholds",
    "execute",
    "finish",
    "group_options",
    "refuse_options_beside_resume",
    "request",
    "resume_run",
]


def request(
    *,
    profile_name: str,
    own: OwnAppOptions,
    broker_url: str,
    world_url: str,
    external_workers: bool,
    **asked: Any,
) -> RunRequest:
    """The options of `run` as a request; raise BenchError for an option that cannot be used."""
    deployment = DeploymentRequest(broker_url=broker_url, world_url=world_url, workers=external_workers)
    deployment.check(os.environ)
    if own.any:
        if words := deployment.options():
            raise BenchError(f"{words[0]} is for the sides of ours: leave it out beside an app of your own")
        return make_own_request(own, profile=profile(profile_name), **asked)
    refuse_without_app(own)
    return make_run_request(ScenarioSubject, profile=profile(profile_name), deployment=deployment, **asked)


def group_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `run` as `request` takes them: those for an app of your own in one object."""
    own = {field.name for field in dataclasses.fields(OwnAppOptions)}
    shared = {name: value for name, value in params.items() if name not in own and name != "resume"}
    return {**shared, "own": OwnAppOptions(**{name: value for name, value in params.items() if name in own})}


def refuse_options_beside_resume(context: click.Context) -> None:
    """Raise BenchError if another option is given with `--resume`: a run is resumed with its own."""
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
        if given and parameter.name != "resume":
            raise BenchError(
                f"--resume takes every option from the run's own {MANIFEST}: leave out {parameter.opts[0]}"
            )


def resume_run(path: Path, run: click.Command, console: Console) -> RunDirectory | None:
    """Measure the rest of an interrupted run; None if it is complete. `run` is the command that began it."""
    directory = resume.open_resumable(path)
    if resume.is_complete(directory):
        click.echo(f"nothing to do: {display_path(directory.path)} is complete")
        return None
    with run.make_context("run", directory.manifest["command"][2:]) as recorded:
        asked = group_options({**recorded.params, "out": directory.path.parent})
    words = ["queue-or-task", "run", "--resume", str(path)]
    continue_run(directory, request(**asked), words, console)
    return directory


def finish(directory: RunDirectory) -> int:
    """Say first if nothing counted, render the run, and say how to resume it; return the exit code."""
    stopped_by = directory.manifest.get("stopped_by")
    nothing = conclusion.nothing_counted(directory)
    if nothing:
        click.echo(f"queue-or-task: {nothing}", err=True)
    code = render(directory.path)
    if stopped_by:
        words = ["queue-or-task", "run", "--resume", str(display_path(directory.path))]
        click.echo(f"to resume it: {shlex.join(words)}")
    if stopped_by == INTERRUPT:
        return EXIT_INTERRUPTED
    return EXIT_BAD_RESULT if nothing or stopped_by else code


def check_thresholds(path: Path, thresholds: Sequence[Threshold]) -> bool:
    """Print the result of each threshold, and note it in the run; return whether all are met."""
    run = RunDirectory.open(path)
    found = [result for threshold in thresholds for result in threshold_results(run, threshold)]
    for result in found:
        click.echo(result.line)
    if found:
        _note(run, found)
    return all(result.met for result in found)


def _note(run: RunDirectory, found: Sequence[ThresholdResult]) -> None:
    """Write the results for the run's summary; a file that cannot be written changes no result."""
    rows = [
        {
            "text": result.threshold.text,
            "subject": result.subject,
            "value": plain(result.value),
            "met": result.met,
        }
        for result in found
    ]
    try:
        write_atomically(run.path / CHECKS, json.dumps(rows, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        click.echo(f"queue-or-task: not noted in {run.path / CHECKS}: {error.strerror}", err=True)
