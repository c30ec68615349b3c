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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from bench.errors import BenchError
from bench.load.load_plan import MAX_RATE
from bench.own_app.workload import arguments, units

#: Calls a second of all tasks together where no rate is given: the common rate of the article's scenarios.
DEFAULT_RATE = 10.0
#: Seconds from due to effect after which a call is late, where a task names no deadline.
DEFAULT_DEADLINE_S = 5.0
#: The error for a field that is absent or of another type; `{}` is the given value.
_REMEDIES = {
    "app": 'names no app: add app = "shop.celery:app", or --app',
    "task": 'has no task: add a table [[task]] with name = "shop.tasks.send_receipt"',
    "name": "has no name: add the task's, such as shop.tasks.send_receipt",
    "args": ": args is {!r}: expected a list, such as [42]",
    "kwargs": ': kwargs is {!r}: expected an object, such as {{"order_id": 42}}',
}


class _Reader(Protocol):
    """One of `bench.own_app.workload.units`."""

    def __call__(self, value: object, *, where: str) -> float:
        """The amount; raise BenchError that begins with `where`."""


def _read_by(reader: _Reader) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> float:
        return reader(value, where=f"{info.context}: {info.field_name}")

    return BeforeValidator(read)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _TaskTable(_Strict):
    """A table [[task]] as it is written."""

    name: str = Field(min_length=1)
    rate: Annotated[float | None, _read_by(units.rate)] = None
    weight: Annotated[float | None, _read_by(units.weight)] = None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    deadline: Annotated[float, _read_by(units.seconds)] = DEFAULT_DEADLINE_S


class _File(_Strict):
    """A whole file as it is written."""

    app: str = ""
    rate: Any = None
    task: list[dict[str, Any]] = Field(min_length=1)


_Model = TypeVar("_Model", bound=BaseModel)


def _validated(model: type[_Model], table: Mapping[str, Any], where: str) -> _Model:
    """The table as the model has it; raise BenchError that says what is wrong, where, and what to do."""
    try:
        return model.model_validate(table, context=where)
    except ValidationError as error:
        wrong = error.errors()
        unknown = [str(item["loc"][0]) for item in wrong if item["type"] == "extra_forbidden"]
        if unknown:
            known = ", ".join(sorted(model.model_fields))
            raise BenchError(f"{where}: {unknown[0]!r} is not known: choose from {known}") from error
        remedy = _REMEDIES[str(wrong[0]["loc"][0])].format(wrong[0]["input"])
        raise BenchError(f"{where}{'' if remedy.startswith(':') else ' '}{remedy}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoad:
    """One task: calls a second, its arguments or their makers, and its deadline."""

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
    """The app as `celery -A` names it, and the load of each task."""

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
    """The workload of the command line; raise BenchError for what cannot be read.

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
    """The workload of a TOML file; `app` and `rate` of the command line override its own.

    Raise BenchError, with the line where TOML's own grammar is broken, for what cannot be read.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"--workload {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} is not TOML: {error}") from error
    file = _validated(_File, table, str(path))
    name = app or file.app
    if not name:
        raise BenchError(f"{path} {_REMEDIES['app']}")
    given = DEFAULT_RATE if rate is None else units.rate(rate, where="--rate")
    whole = units.rate(file.rate, where=f"{path}: rate") if rate is None and "rate" in table else given
    return _workload(name, file.task, whole, where=f"{path}: task")


def _workload(app: str, tables: Sequence[Mapping[str, Any]], rate: float, *, where: str) -> Workload:
    """Share the rate among the tasks that have none of their own, and check each."""
    places = [
        f"{where} {number} ({table.get('name', 'without a name')})" for number, table in enumerate(tables, 1)
    ]
    tasks = [_validated(_TaskTable, table, place) for table, place in zip(tables, places, strict=True)]
    for task, place in zip(tasks, places, strict=True):
        if task.rate is not None and task.weight is not None:
            raise BenchError(
                f"{place} has a rate and a weight: a weight is a share of the common rate, keep one"
            )
    weights = [0.0 if task.rate is not None else task.weight or 1.0 for task in tasks]
    shares = [rate * weight / (sum(weights) or 1.0) for weight in weights]
    made = Workload(app=app, tasks=tuple(map(_task_load, tasks, shares)))
    if made.rate > MAX_RATE:
        raise BenchError(f"the rates add up to {made.rate:g} a second: one generator offers {MAX_RATE:g}")
    return made


def _task_load(task: _TaskTable, share: float) -> TaskLoad:
    load = TaskLoad(
        name=task.name,
        rate=share if task.rate is None else task.rate,
        args=task.args,
        kwargs=task.kwargs,
        deadline_s=task.deadline,
    )
    load.maker()  # raises where an argument cannot be made
    return load


def _named(text: str) -> tuple[str, str]:
    name, given, weight = text.partition("=")
    return name, weight if given else "1"


def _one_each(option: str, given: Sequence[str], default: str, tasks: int) -> Sequence[str]:
    if len(given) not in {0, 1, tasks}:
        raise BenchError(
            f"{option} stands {len(given)} times beside {tasks} tasks: give one for all, or one each"
        )
    return given if len(given) == tasks else [*given, default][:1] * tasks
