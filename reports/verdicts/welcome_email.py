"""Welcome e-mail: it may be lost, so the cost to the caller decides, and then the response."""

from __future__ import annotations

from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import TASK, Comparison
from reports.data.run import Run
from reports.verdicts.account_setup import describe_losses
from reports.verdicts.kinds import (
    Choice,
    Gap,
    Verdict,
    compared,
    comparison_number,
    cost_number,
    measured,
    median_of,
    queue_in,
)

SCENARIO = "welcome_email"


def judge(run: Run) -> Verdict:
    """The verdict on the welcome e-mail."""
    queue = queue_in(run.table("comparisons"), SCENARIO)
    caller, response = (median_of(run, SCENARIO, metric, queue) for metric in ("caller", "response"))
    choice = choose(caller, response)
    return Verdict(
        scenario=SCENARIO,
        choice=choice,
        sentence=_sentence(choice, caller, response),
        question="What may a mail cost that nobody waits for and nobody retries?",
        numbers=measured(comparison_number(caller), comparison_number(response)),
        beside=measured(
            comparison_number(median_of(run, SCENARIO, "request", "inline")),
            cost_number(run, queue),
        ),
        flips=_flips(run, choice, queue),
        gaps=_gaps(run, caller, response),
    )


def choose(caller: Comparison | None, response: Comparison | None) -> Choice:
    """Caller cost decides if it differs, else the response; without a clear difference no queue is needed."""
    said = [item.words for item in (caller, response) if item is not None]
    if not said:
        return "not measured"
    decisive = next((item.words for item in (caller, response) if item is not None and item.differs), "")
    if decisive:
        return "queue" if decisive == "lower" else "no queue"
    return "no queue" if "no clear difference" in said else "unsettled"


def _sentence(choice: Choice, caller: Comparison | None, response: Comparison | None) -> str:
    name, both = formatting.scenario(SCENARIO), [item for item in (caller, response) if item is not None]
    if not both:
        return f"Not measured: the {name} is decided by what it costs the caller, and no sides were compared."
    beginnings = {
        "queue": f"Take a queue for the {name} when that time counts",
        "no queue": f"You do not need a queue for the {name} if losing one at a crash is acceptable",
        "unsettled": f"Not settled for the {name}",
    }
    return f"{beginnings[choice]}: {'; '.join(compared(item) for item in both)}."


def _flips(run: Run, choice: Choice, queue: str) -> tuple[str, ...]:
    if choice in {"unsettled", "not measured"}:
        return ()
    kills = [evidence.losses(run, scenario=SCENARIO, fault=10, side=side) for side in (TASK, queue)]
    seen = describe_losses([losses for losses in kills if losses is not None])
    stakes = f"A mail that must go out: {seen or 'what a crash loses was not measured in this run'}."
    if choice == "queue":
        return ("A request that does not feel the difference.", stakes)
    return (stakes, "A mail that must be retried for hours: a fire-and-forget task is never retried.")


def _gaps(run: Run, caller: Comparison | None, response: Comparison | None) -> tuple[Gap, ...]:
    return tuple(
        Gap(
            what=f"{name} of in-process and a queue", command=rerun_commands.measure(run, "latency", SCENARIO)
        )
        for name, item in (("the caller cost", caller), ("the response", response))
        if item is None
    )
