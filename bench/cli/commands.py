"""The command line: `queue-or-task`, the same as `python -m bench`.

Exit codes: 0 done; 1 nothing counted, or the run is not complete; 2 an error that the caller can fix, in one
line; 99 a threshold was crossed (k6's code) or a known truth not reported; 75 the machine is too noisy to
verify the instrument; 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP (what was measured is kept and rendered).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.analysis.report_program import render
from bench.cli.error_lines import OneLineErrors
from bench.cli.own_app_options import own_options
from bench.errors import BenchError
from bench.plan.profiles import PROFILES
from bench.process.signals import interrupted_by_signals
from queue_or_task.move_command import journal

#: Exit codes for scripts; those of errors are in `bench.cli.error_lines`.
EXIT_CROSSED = 99
EXIT_NOISY = 75
#: The seed of a run that names none: two runs with the same seed offer the same load.
DEFAULT_SEED = 1
RESULTS = Path("results")
#: Where `world` listens, and at the four ports after it.
WORLD_PORT = 8100

console = Console()


SHORT_HELP = """\
Does a background job need a queue, or is a supervised task in the app enough? Measured.

  queue-or-task run                      measure: a quick look, under 5 minutes
  queue-or-task run --app shop.celery:app --task shop.tasks.send_receipt --args '[42]'
                                         measure your own Celery task
  queue-or-task report results/latest    render a report again
  queue-or-task list                     scenarios, sides, measures, profiles and faults

queue-or-task --help shows every command."""


@click.group(
    cls=OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="queue-or-task", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Find out whether a background job needs a queue, or a supervised task in the app is enough.

    \b
    Examples:
      queue-or-task run                                   a quick look, under 5 minutes
      queue-or-task run --profile full                    figures that may be quoted
      queue-or-task run --measure fault --fault 12        kill -9 the worker, count the jobs
      queue-or-task run --scenario account_sync           the drift of the periodic sync alone
      queue-or-task run --app shop.celery:app --task shop.tasks.send_receipt --args '[42]'
                                                          your own Celery task; see `run --help`
      queue-or-task run --resume results/latest           resume an interrupted run
      queue-or-task report results/latest                 render the report again
      queue-or-task report results/latest --format md     in short, for a comment under a change
      queue-or-task compare results/A results/B           two runs beside each other, as a page too
      queue-or-task check -t 'p90(response) < 200ms' -t 'lost == 0'   a gate for CI
    """  # noqa: D301 - \b is click's mark for text that keeps its lines
    if context.invoked_subcommand is None:
        click.echo(SHORT_HELP)


main.add_command(journal)


@main.command()
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="One of them; repeat for more.")
@click.option(
    "--side", "sides", multiple=True, metavar="NAME", help="One side, or 'celery' for both profiles."
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="One of them, as `list measures` shows; repeat for more.",
)
@click.option("--fault", "faults", multiple=True, type=int, metavar="N", help="A fault by its number.")
@click.option("--profile", "profile_name", default="quick", show_default=True, help=f"{', '.join(PROFILES)}.")
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Same seed, same load and strikes."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Where runs go."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Resume an interrupted run, with its own options.",
)
@own_options
@click.option(
    "--broker-url", default="", metavar="URL", help="A Redis elsewhere; see docs/several-machines.md."
)
@click.option("--world-url", default="", metavar="URL", help="Services elsewhere: `queue-or-task world`.")
@click.option("--external-workers", is_flag=True, help="Workers elsewhere: `queue-or-task worker`.")
def run(resume: Path | None, **asked: Any) -> None:
    """Measure, write results after every block, render the report.

    Ctrl-C, SIGTERM and SIGHUP end the run, keep what was measured and still render. `--resume RUN`
    continues it: complete blocks are kept, the one that was cut off is measured again.

    \b
    Your own Celery app, in your project's folder (docs/bring-your-own.md):
      queue-or-task run --app shop.celery:app --task shop.tasks.send_receipt --args '[42]' --rate 50/s
      queue-or-task run --app shop.celery:app --task shop.tasks.a=3 --task shop.tasks.b=1 --beat-every 1s
      queue-or-task run --workload checkout.toml --measure fault --fault 12
    """  # noqa: D301 - as in `main`
    from bench.cli import run_command  # late: --help needs no Celery and no SciPy

    with interrupted_by_signals() as received:
        if resume is not None:
            run_command.refuse_options_beside_resume(click.get_current_context())
            directory = run_command.resume_run(resume, run, console)
        else:
            request = run_command.request(**run_command.group_options(asked))
            directory = run_command.execute(request, console)
        code = run_command.finish(directory) if directory is not None else 0
    sys.exit(128 + received[0] if received else code)


@main.command()
@click.option(
    "--bind", "address", required=True, metavar="ADDRESS", help="Of this host, as the run reaches it."
)
@click.option("--port", type=int, default=WORLD_PORT, show_default=True, help="The first of five in a row.")
def world(address: str, port: int) -> None:
    """Serve the outside services for runs on other hosts, until Ctrl-C.

    There is no password: whoever reaches the address can use them. See docs/several-machines.md.
    """
    from bench.cli import remote_hosts  # late: as in `run`

    remote_hosts.world(address, port, say=click.echo)


@main.command()
@click.option("--side", "side_name", required=True, metavar="NAME", help="The queue whose jobs it takes.")
@click.option("--world-url", required=True, metavar="URL", help="As the run has it.")
@click.option("--broker-url", default="", metavar="URL", help="As the run has it; else REDIS_URL.")
@click.option("--profile", "profile_name", default="quick", show_default=True, help="As the run has it.")
@click.option("--concurrency", type=int, help="Jobs at once; Celery's own default where it is left out.")
def worker(
    side_name: str, world_url: str, broker_url: str, profile_name: str, concurrency: int | None
) -> None:
    """Run a Celery worker for runs on other hosts, until Ctrl-C; DATABASE_URL is that of the run."""
    from bench.cli import remote_hosts  # late: as in `run`

    remote_hosts.worker(
        side_name=side_name,
        world_url=world_url,
        broker_url=broker_url,
        profile_name=profile_name,
        concurrency=concurrency,
        say=click.echo,
    )


@main.command("list")
@click.argument("what", default="all", metavar="[scenarios|sides|measures|profiles|faults]")
def list_(what: str) -> None:
    """Show what can be run."""
    from bench.cli import list_command  # late: as in `run`

    for title, rows in list_command.tables(what).items():
        table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        console.print(table)


@main.command()
@click.argument("run_directory", type=click.Path(path_type=Path), default=RESULTS / "latest")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json"]),
    default="html",
    show_default=True,
    help="html writes report, summaries and the list of all runs; md and json print a summary.",
)
@click.option(
    "--card",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Also write a picture of 1200 x 630 pixels, for those who share the report by a link.",
)
@click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="Where the report will be published: the page then names its address and its card.",
)
def report(run_directory: Path, form: str, card: Path | None, base_url: str) -> None:
    """Render a run's report again, from its files alone.

    \b
    Examples:
      queue-or-task report results/latest                  report.html, and index.html beside the runs
      queue-or-task report results/latest --format md      for a comment under a change
      queue-or-task report results/latest --format json | jq '.verdicts[].choice'
      queue-or-task report results/latest --card card.png  a picture of it
    """  # noqa: D301 - as in `main`
    sys.exit(render(run_directory, form=form, card=card, base_url=base_url))


_threshold = click.option(
    "-t", "--threshold", "texts", multiple=True, metavar="TEXT", help="As 'lost == 0'; repeat for more."
)


@main.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@_threshold
@click.option("--no-worse", is_flag=True, help="Exit with 99 where a figure of the second run is higher.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PAGE",
    help="Where the page goes, its figures beside it.  [default: compare-A-B.html beside the first run]",
)
def compare(first: Path, second: Path, texts: tuple[str, ...], *, no_worse: bool, out: Path | None) -> None:
    """Put two runs beside each other: two machines, two versions, two commits.

    Prints each figure that both have, and writes a page that shows them side by side.
    Thresholds speak of the second run.
    """
    from bench.analysis import comparison_page  # late: as in `run`
    from bench.analysis.run_comparison import compare_runs
    from bench.analysis.threshold_syntax import parse
    from bench.cli.run_command import check_thresholds

    thresholds = [parse(text) for text in texts]
    found = compare_runs(first, second)
    for line in found.lines:
        click.echo(line)
    if code := comparison_page.write_page(found, out or comparison_page.page_path(first, second)):
        sys.exit(code)
    worse = no_worse and bool((found.table["words"] == "higher").any())
    if not check_thresholds(second, thresholds) or worse:
        sys.exit(EXIT_CROSSED)


@main.command()
@click.argument("run_directory", type=click.Path(path_type=Path), default=RESULTS / "latest")
@_threshold
def check(run_directory: Path, texts: tuple[str, ...]) -> None:
    """Hold a run against thresholds: exit code 0 where it meets all of them, 99 where not.

    \b
    Examples:
      p90(response) < 200ms
      p50(request){side=inprocess, scenario=welcome_email} < 0.05s
      lost == 0
      max(age_p99_ms){policy=anchored} < 3s
      p50(response){inprocess/celery-hardened} < 0.5
    """  # noqa: D301 - as in `main`
    from bench.analysis.threshold_syntax import parse
    from bench.cli.run_command import check_thresholds  # late: as in `run`

    if not texts:
        raise BenchError("nothing to check: give a threshold, such as -t 'lost == 0'")
    if not check_thresholds(run_directory, [parse(text) for text in texts]):
        sys.exit(EXIT_CROSSED)


@main.command()
@click.option("--short", is_flag=True, help="A minute instead of five: for a look, not for a claim.")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Of the load.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Where runs go."
)
def verify(*, short: bool, seed: int, out: Path) -> None:
    """Put sides with known truth through the harness, and see that it reports each.

    Exit code 0 where it does, 99 where it does not, 75 where the machine is too noisy to say.
    """
    from bench.verify import verify as verifying  # late: as in `run`

    size = verifying.SHORT if short else verifying.WHOLE
    directory, rows = verifying.verify(out, size=size, seed=seed)
    for row in rows:
        click.echo(f"{row.truth:45} {verifying.line(row)}")
    click.echo(f"in {directory.path}, and in the report of every run from now on")
    verdicts = {row.verdict for row in rows}
    if verdicts != {"held"}:
        sys.exit(EXIT_CROSSED if "NOT HELD" in verdicts else EXIT_NOISY)
