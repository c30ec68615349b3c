"""The command line: `queue-or-task`, the same as `python -m bench`.

Exit codes: 0 done; 2 something that the caller can mend, told in one line; 130 interrupted (what
was measured is kept and rendered).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError
from bench.profiles import PROFILES, profile
from bench.rundir import RunDirectory

#: Exit codes for scripts.
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
#: The seed of a run that names none: two runs with the same seed offer the same load.
DEFAULT_SEED = 1
RESULTS = Path("results")

console = Console()


class OneLineErrors(click.Group):
    """Tells what went wrong in one line, without usage text or traceback."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command and exit with its code."""
        try:
            extra["standalone_mode"] = False
            code = super().main(*args, **extra)
        except click.ClickException as error:
            _fail(error.format_message())
        except BenchError as error:
            _fail(str(error))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(EXIT_INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    click.echo(f"queue-or-task: {' '.join(message.split())}", err=True)
    sys.exit(EXIT_USAGE)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Find out whether a background job needs a queue, or a supervised task in the app is enough.

    \b
    Examples:
      queue-or-task run                                   a quick look, under 5 minutes
      queue-or-task run --profile full                    figures that may be quoted
      queue-or-task run --measure fault --fault 12        kill -9 the worker, count the jobs
      queue-or-task run --scenario account_sync           the drift of the periodic sync alone
      queue-or-task report results/latest                 render the report again
      queue-or-task compare results/A results/B           two runs beside each other
    """  # noqa: D301 - \b is click's mark for text that keeps its lines


@main.command()
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="One of them; repeat for more.")
@click.option(
    "--side", "sides", multiple=True, metavar="NAME", help="One side, or 'celery' for both profiles."
)
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="latency, drift, fault or micro.")
@click.option("--fault", "faults", multiple=True, type=int, metavar="N", help="A fault by its number.")
@click.option("--profile", "profile_name", default="quick", show_default=True, help=f"{', '.join(PROFILES)}.")
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Same seed, same load and strikes."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Where runs go."
)
def run(  # noqa: PLR0917 - click passes them by name
    scenarios: tuple[str, ...],
    sides: tuple[str, ...],
    measures: tuple[str, ...],
    faults: tuple[int, ...],
    profile_name: str,
    seed: int,
    out: Path,
) -> None:
    """Measure, write results after every block, render the report.

    Ctrl-C ends the run, keeps what was measured and still renders.
    """
    from bench import run as runs  # late: --help needs no Celery and no SciPy
    from bench.orders import make_order

    order = make_order(
        scenarios=scenarios,
        sides=sides,
        measures=measures,
        faults=faults,
        profile=profile(profile_name),
        seed=seed,
        out=out,
    )
    directory = runs.execute(order, console)
    _render(directory)
    if directory.manifest.get("interrupted"):
        sys.exit(EXIT_INTERRUPTED)


@main.command("list")
@click.argument("what", default="all", metavar="[scenarios|sides|measures|profiles|faults]")
def list_(what: str) -> None:
    """Show what can be run."""
    from bench import listing  # late: as in `run`

    for title, rows in listing.tables(what).items():
        table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        console.print(table)


@main.command()
@click.argument("run_directory", type=click.Path(path_type=Path), default=RESULTS / "latest")
def report(run_directory: Path) -> None:
    """Render a run's report again, from its files alone."""
    _render(RunDirectory.open(run_directory))


@main.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Put two runs beside each other: two machines, two versions, two commits."""
    from bench.compare import compare_runs  # late: as in `run`

    _, lines = compare_runs(first, second)
    for line in lines:
        click.echo(line)


def _render(directory: RunDirectory) -> None:
    """Have `reports` render, as a program: a run directory is all that the two rooms share."""
    here = Path.cwd()
    path = directory.path.relative_to(here) if directory.path.is_relative_to(here) else directory.path
    done = subprocess.run([sys.executable, "-m", "reports", str(path)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
