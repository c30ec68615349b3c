"""Differences of two runs other than their figures: plan, machine and versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reports.data import formatting, rerun_commands
from reports.data.run import Run
from reports.versus.two_runs import Pair

#: Fields of the manifest, those that change a figure most first.
FIELDS = (
    "git",
    "versions",
    "machine",
    "plan",
    "seed",
    "profile",
    "sides",
    "scenarios",
    "measures",
    "broker",
    "schema",
)
#: What differs from moment to moment on one machine, and so says nothing about two.
PASSING = ("machine: load_before",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One field of both manifests; a dash where a manifest does not have it."""

    what: str
    a: str
    b: str

    @property
    def differs(self) -> bool:
        """Whether the two runs differ in it."""
        return self.a != self.b


def facts(pair: Pair) -> list[Fact]:
    """Every such field of either run, in the order of `FIELDS`."""
    text = [dict(_fields(run)) for run in (pair.a, pair.b)]
    names = dict.fromkeys(name for one in text for name in one)
    ordered = sorted(names, key=lambda name: FIELDS.index(name.partition(":")[0]))
    return [Fact(what=name, a=_value(text[0], name), b=_value(text[1], name)) for name in ordered]


def both_commands(pair: Pair) -> list[tuple[str, str]]:
    """The command that made each run."""
    return [(letter, rerun_commands.run_again(run)) for letter, run in pair.runs]


def _fields(run: Run) -> Iterator[tuple[str, str]]:
    for field in FIELDS:
        value = run.manifest.get(field)
        if isinstance(value, Mapping):
            yield from (
                (f"{field}: {key}", _text(item))
                for key, item in value.items()
                if f"{field}: {key}" not in PASSING
            )
        elif value is not None:
            yield field, _text(value)


def _value(text: Mapping[str, str], name: str) -> str:
    return text.get(name, formatting.NOTHING)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return formatting.NOTHING if value is None else str(value)
