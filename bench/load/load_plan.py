"""The plan of a load: which request is due when, made before the run and the same for every side.

Pure and seeded. The gaps of each scenario are drawn from an exponential distribution of its own
(Poisson arrivals), so that adding a scenario moves no other's requests. The same seed gives the
same plan byte for byte; the block's prefix changes ids and e-mail addresses alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scenarios import jobs

#: Scenarios that arrive as requests; the sync keeps a grid of its own.
REQUESTED = (jobs.ACCOUNT_SETUP, jobs.WELCOME_EMAIL)
#: Requests a second, all scenarios together. Tried up to here on two cores, where the generator's own
#: p99 lateness stays about 1 ms; higher rates were not tried.
MAX_RATE = 300.0
#: Longest plan, in seconds: a longer one needs too much memory at the highest rate.
MAX_SECONDS = 3600.0
#: Characters of a block's prefix: the rest of a user's id (64 at most) is its number.
MAX_PREFIX = 48

_PREFIX = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_PREFIX}}}")
_FIRST = ("Ada", "Alan", "Barbara", "Edith", "Frances", "Grace", "Ines", "Jean", "Joan", "Karen", "Radia")
_LAST = ("Allen", "Bartik", "Clarke", "Goldberg", "Hamilton", "Hopper", "Keller", "Liskov", "Perlman", "Wing")
_STREETS = ("Bridge", "Castle", "Chapel", "Church", "Green", "Harbour", "Mill", "Park", "Queen", "Station")
_TOWNS = ("Bath", "Cork", "Derby", "Dundee", "Exeter", "Galway", "Hull", "Leeds", "Newport", "Truro", "York")


class PlanError(ValueError):
    """A plan that cannot be offered; the text says which figure and what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request: its scenario, when it is due (ns after the start) and its parameters."""

    due_ns: int
    scenario: str
    params: dict[str, Any]

    @property
    def request(self) -> str:
        """What the request is called in the ledger: the user's id, or a call's."""
        return str(self.params["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Every request of one block in the order of its due time, and the owners to sync."""

    seed: int
    prefix: str
    seconds: float
    rates: dict[str, float]
    owners: tuple[str, ...]
    arrivals: tuple[Arrival, ...]

    def to_json(self) -> str:
        """The plan as JSON text: the same text for the same plan."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LoadPlan:
        """Read what `to_json` wrote; raise PlanError for anything else, or for what cannot be offered."""
        try:
            value: dict[str, Any] = json.loads(text)
            arrivals = tuple(Arrival(**arrival) for arrival in value.pop("arrivals"))
            owners = tuple(value.pop("owners"))
            plan = cls(**value, owners=owners, arrivals=arrivals)
            _check(prefix=plan.prefix, rates=plan.rates, seconds=plan.seconds, owners=len(owners))
        except PlanError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PlanError(f"not a plan of bench.load.load_plan: {type(error).__name__}: {error}") from error
        return plan


def make_load_plan(
    *, seed: int, prefix: str, rates: Mapping[str, float], seconds: float, owners: int = 0
) -> LoadPlan:
    """Plan `seconds` of load: `rates` are requests a second by scenario, `owners` how many to sync.

    Raise PlanError for a plan that this machine cannot offer or that offers nothing.
    """
    if unknown := sorted(set(rates) - set(REQUESTED)):
        raise PlanError(f"no requests are planned for {unknown[0]!r}: choose from {', '.join(REQUESTED)}")
    _check(prefix=prefix, rates=rates, seconds=seconds, owners=owners)
    due = sorted(
        (due_ns, scenario)
        for scenario in REQUESTED
        if scenario in rates
        for due_ns in poisson(random.Random(f"{seed}/{scenario}"), rates[scenario], seconds)  # noqa: S311 - a load
    )
    people = random.Random(f"{seed}/people")  # noqa: S311 - made-up people are no secret
    return LoadPlan(
        seed=seed,
        prefix=prefix,
        seconds=float(seconds),
        rates={scenario: float(rates[scenario]) for scenario in REQUESTED if scenario in rates},
        owners=owner_names(prefix, owners),
        arrivals=tuple(
            Arrival(due_ns=due_ns, scenario=scenario, params=_person(people, f"{prefix}-{number:06}"))
            for number, (due_ns, scenario) in enumerate(due)
        ),
    )


def owner_names(prefix: str, count: int) -> tuple[str, ...]:
    """The owners of a block whose balance is synced."""
    return tuple(f"{prefix}-owner-{number:02}" for number in range(count))


def poisson(draw: random.Random, rate: float, seconds: float) -> Iterator[int]:
    """Poisson arrivals at `rate` a second, ns after the start."""
    due = draw.expovariate(rate)
    while due < seconds:
        yield int(due * 1e9)
        due += draw.expovariate(rate)


def _person(draw: random.Random, user_id: str) -> dict[str, str]:
    first, last = _pick(draw, _FIRST), _pick(draw, _LAST)
    birthday = f"{draw.randint(1940, 2005)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
    address = f"{draw.randint(1, 299)} {_pick(draw, _STREETS)} Street, {_pick(draw, _TOWNS)}"
    email = f"{first}.{last}.{user_id}@mail.example".lower()
    return {
        "id": user_id,
        "name": f"{first} {last}",
        "email": email,
        "birthday": birthday,
        "address": address,
    }


def _pick(draw: random.Random, names: Sequence[str]) -> str:
    return names[draw.randrange(len(names))]


def check_window(*, prefix: str, seconds: float) -> None:
    """Raise PlanError for a block that no plan can be made of."""
    if not _PREFIX.fullmatch(prefix):
        raise PlanError(
            f"the prefix is {prefix!r}: expected 1 to {MAX_PREFIX} letters, digits, dots or dashes"
        )
    if not 0 < seconds <= MAX_SECONDS:
        raise PlanError(f"the window is {seconds} s: expected above 0 and at most {MAX_SECONDS:g}")


def _check(*, prefix: str, rates: Mapping[str, float], seconds: float, owners: int) -> None:
    check_window(prefix=prefix, seconds=seconds)
    for scenario, rate in rates.items():
        if not 0 < rate <= MAX_RATE:
            raise PlanError(
                f"the rate of {scenario} is {rate}: expected above 0 and at most {MAX_RATE:g} a second"
            )
    if sum(rates.values()) > MAX_RATE:
        raise PlanError(
            f"the rates add up to {sum(rates.values()):g}: one generator offers {MAX_RATE:g} a second"
        )
    if owners < 0:
        raise PlanError(f"{owners} owners are to be synced: expected 0 or more")
    if not rates and not owners:
        raise PlanError("the plan is empty: give a rate to a scenario or owners to sync")
