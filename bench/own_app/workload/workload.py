"""Which tasks are called, how often and with what: from options or from a TOML file. Pure but for reading it.

app = "shop.celery:app"
rate = "50/s"                         # shared by weight among the tasks without a rate of their own

[[task]]
name = "shop.tasks.send_receipt"
weight = 3
args = [{ sequence = 1 }]             # see `bench.own_app.workload.arguments`
deadline = "2s"

[[task]]
name = "shop.tasks.resize"
rate = "2/s"
kwargs = { size = { choice = ["s", "m"] } }
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.load.load_plan import MAX_RATE
from bench.own_app.workload import arguments, units

#: Calls a second of all tasks together where no rate is given: the common rate of the article's scenarios.
DEFAULT_RATE = 10.0
#: Seconds from due to effect after which a call is late, where a task names no deadline.
DEFAULT_DEADLINE_S = 5.0
_FILE_KEYS = frozenset({"app", "rate", "task"})
_TASK_KEYS = frozenset({"name", "rate", "weight", "args", "kwargs", "deadline"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoad:
    """One task: calls a second, the values of its arguments or what makes them, and its deadline."""

    name: str
    rate: float
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any]
    deadline_s: float = DEFAULT_DEADLINE_S

    def maker(self) -> arguments.Maker:
        """Makes [args, kwargs] of each call; raise BenchError where they are none."""
        args = arguments.maker(list(self.args), where=f"args of {self.name}")
        kwargs = arguments.keywords(self.kwargs, where=f"kwargs of {self.name}")
        return lambda draw, number: [args(draw, number), kwargs(draw, number)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The app as `celery -A` names it, and what is asked of it."""

    app: str
    tasks: tuple[TaskLoad, ...]

    @property
    def names(self) -> list[str]:
        """The tasks' names, each once."""
        return list(dict.fromkeys(task.name for task in self.tasks))

    @property
    def rate(self) -> float:
        """Calls a second of all tasks together."""
        return sum(task.rate for task in self.tasks)


def from_options(
    *,
    app: str,
    tasks: Sequence[str],
    args: Sequence[str] = (),
    kwargs: Sequence[str] = (),
    rate: str | None = None,
    deadline: str | None = None,
) -> Workload:
    """What the command line asks for; raise BenchError for what cannot be read.

    A task is NAME or NAME=WEIGHT. `args` and `kwargs` are JSON: one for all tasks, or one for each.
    """
    if not tasks:
        raise BenchError(
            "--app needs a task: add --task shop.tasks.send_receipt, or use --workload FILE.toml"
        )
    named = [_named(text) for text in tasks]
    listed = zip(
        _one_each("--args", args, "[]", len(tasks)),
        _one_each("--kwargs", kwargs, "{}", len(tasks)),
        strict=True,
    )
    tables = [
        {
            "name": name,
            "weight": weight,
            "args": arguments.from_json(own_args, where="--args"),
            "kwargs": arguments.from_json(own_kwargs, where="--kwargs"),
            **({} if deadline is None else {"deadline": deadline}),
        }
        for (name, weight), (own_args, own_kwargs) in zip(named, listed, strict=True)
    ]
    whole = DEFAULT_RATE if rate is None else units.rate(rate, where="--rate")
    return _workload(app, tables, whole, where="--task")


def from_file(path: Path, *, app: str = "", rate: str | None = None) -> Workload:
    """What a TOML file asks for; `app` and `rate` of the command line go before its own.

    Raise BenchError, with the line where TOML's own grammar is broken, for what cannot be read.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"--workload {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is not TOML: {error}") from error
    _check_keys(table, _FILE_KEYS, str(path))
    tables = table.get("task")
    if not isinstance(tables, list) or not tables or not all(isinstance(item, dict) for item in tables):
        raise BenchError(f'{path} has no task: add a table [[task]] with name = "shop.tasks.send_receipt"')
    name = app or table.get("app")
    if not isinstance(name, str) or not name:
        raise BenchError(f'{path} names no app: add app = "shop.celery:app", or --app')
    given = DEFAULT_RATE if rate is None else units.rate(rate, where="--rate")
    whole = units.rate(table["rate"], where=f"{path}: rate") if rate is None and "rate" in table else given
    return _workload(name, tables, whole, where=f"{path}: task")


def _workload(app: str, tables: Sequence[Mapping[str, Any]], rate: float, *, where: str) -> Workload:
    """Share the rate among the tasks that have none of their own, and check each."""
    places = [
        f"{where} {number} ({table.get('name', 'without a name')})" for number, table in enumerate(tables, 1)
    ]
    for table, place in zip(tables, places, strict=True):
        _check_keys(table, _TASK_KEYS, place)
    weights = [
        units.weight(table.get("weight", 1), where=f"{place}: weight") if "rate" not in table else 0.0
        for table, place in zip(tables, places, strict=True)
    ]
    shares = [rate * weight / (sum(weights) or 1.0) for weight in weights]
    made = Workload(app=app, tasks=tuple(map(_task, tables, shares, places)))
    if made.rate > MAX_RATE:
        raise BenchError(f"the rates add up to {made.rate:g} a second: one generator offers {MAX_RATE:g}")
    return made


def _task(table: Mapping[str, Any], share: float, where: str) -> TaskLoad:
    args, kwargs = table.get("args", []), table.get("kwargs", {})
    if not isinstance(args, list):
        raise BenchError(f"{where}: args is {args!r}: expected a list, such as [42]")
    if not isinstance(kwargs, dict):
        raise BenchError(f'{where}: kwargs is {kwargs!r}: expected an object, such as {{"order_id": 42}}')
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise BenchError(f"{where} has no name: add the task's, such as shop.tasks.send_receipt")
    task = TaskLoad(
        name=name,
        rate=units.rate(table["rate"], where=f"{where}: rate") if "rate" in table else share,
        args=args,
        kwargs=kwargs,
        deadline_s=units.seconds(table.get("deadline", DEFAULT_DEADLINE_S), where=f"{where}: deadline"),
    )
    task.maker()
    return task


def _named(text: str) -> tuple[str, str]:
    name, given, weight = text.partition("=")
    return name, weight if given else "1"


def _one_each(option: str, given: Sequence[str], default: str, tasks: int) -> Sequence[str]:
    if len(given) not in {0, 1, tasks}:
        raise BenchError(
            f"{option} stands {len(given)} times beside {tasks} tasks: give one for all, or one each"
        )
    return given if len(given) == tasks else [*given, default][:1] * tasks


def _check_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    if unknown := sorted(table.keys() - set(known)):
        raise BenchError(f"{where}: {unknown[0]!r} is not known: choose from {', '.join(sorted(known))}")
    if {"rate", "weight"} <= table.keys():
        raise BenchError(f"{where} has a rate and a weight: a weight is a share of the common rate, keep one")
