"""The tables of `queue-or-task list`."""

from __future__ import annotations

from bench.errors import BenchError
from bench.faults import FAULTS
from bench.plan.profiles import PROFILES
from bench.plan.sides import ALIASES, SIDES
from scenarios.jobs import ACCOUNT_SETUP, ACCOUNT_SYNC, WELCOME_EMAIL

SCENARIO_TEXTS = {
    ACCOUNT_SETUP: "deferred: two outside services, each retried, nobody waits",
    ACCOUNT_SYNC: "periodic: a balance fetched and stored every second",
    WELCOME_EMAIL: "fire and forget: an e-mail that nobody waits for and nobody retries",
}
MEASURE_TEXTS = {
    "latency": "from due to effect, caller cost, host tax, cost to run, under an open-loop load",
    "load": "capacity of each side, then latency at 10, 50, 80 and 120 % of it; growth where overloaded",
    "cold": "from the spawn of a side to its first effect, and what of it each part took",
    "owners": "1, 1,000 and 10,000 periodic owners: phase, missed ticks, processor and memory",
    "hogs": "requests and the app's loop beside CPU-heavy jobs: on the loop, in a thread, process, worker",
    "drift": "phase, missed ticks and age of the periodic sync",
    "fault": "one fault a block; each accepted job ends in exactly one class",
    "micro": "what handing one job over costs its caller",
}


def tables(what: str) -> dict[str, list[tuple[str, ...]]]:
    """The rows of one table, or of all of them for `all`; raise BenchError for an unknown one."""
    known: dict[str, list[tuple[str, ...]]] = {
        "scenarios": [*SCENARIO_TEXTS.items()],
        "sides": [
            *((side.name, ", ".join(("app", *side.parts))) for side in SIDES.values()),
            *((alias, " and ".join(names)) for alias, names in ALIASES.items()),
        ],
        "measures": [*MEASURE_TEXTS.items()],
        "profiles": [
            (
                made.name,
                f"{made.repetitions} rounds of {made.latency_s:g} s, drift {made.drift_s:g} s, "
                f"{made.strikes} strikes a fault"
                + (f", {made.verdict_strikes} where a verdict rests on it" if made.verdict_strikes else "")
                + ("" if made.quotable else "; not for quoting"),
            )
            for made in PROFILES.values()
        ],
        "faults": [
            (str(fault.number), fault.slug, fault.title, ", ".join(fault.expected))
            for fault in FAULTS.values()
        ],
    }
    if what == "all":
        return known
    if what not in known:
        raise BenchError(f"nothing to list is called {what!r}: choose from {', '.join(known)}")
    return {what: known[what]}
