"""The law of the house (docs/architecture.md): who may import whom, read from the source and tried out.

Late imports and imports for type checking count: a circle that is hidden in a function is a circle.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("scenarios", "inprocess", "celery_impl", "bench", "reports")
#: What each room may import of ours, beside itself.
ALLOWED = {
    "scenarios": set[str](),
    "inprocess": {"scenarios"},
    "celery_impl": {"scenarios"},
    "bench": {"scenarios", "inprocess", "celery_impl"},
    "reports": {"bench.schema"},
}
#: Modules that may lie flat in one folder.
MODULES_LIMIT = 15
#: What opens a folder or starts it as a program: it may import what lies on higher floors.
DOORS = ("__init__.py", "__main__.py")
#: The folders of each room, floor by floor from the ground. A folder imports lower floors alone: no
#: folder of its own floor and none above.
FLOORS = {
    "inprocess/supervision": (
        ("core",),
        ("isolation",),
        ("lifecycle",),
        ("servers", "supervisors", "tasks", "leases"),
        ("periodic",),
        ("introspection", "."),
    ),
    "inprocess/celery": (
        ("celery_internals",),
        ("broker", "results"),
        ("sending",),
        ("durable",),
        ("attach",),
        ("worker",),
        ("worker_pool",),
        (".",),
    ),
    "inprocess": (
        ("supervision",),
        ("journal", "testing", "."),
        ("celery",),
        ("integrations", "journalled"),
    ),
    "inprocess/journal": (
        ("model",),
        ("stores", "transactions"),
        (".",),
        ("cli",),
    ),
    "inprocess/integrations": (("django",), (".",)),
    "celery_impl/sidekiq": (
        ("jobs",),
        ("redis",),
        ("memory",),
        ("lease", "limits"),
        ("sending",),
        ("enqueue", "beat"),
        ("middleware",),
        ("worker",),
        ("api", "swarm"),
        ("rabbitmq", "cli", "testing"),
        (".",),
    ),
    "celery_impl": (
        ("sidekiq",),
        (".",),
    ),
    "bench": (
        (".",),
        ("process", "ledger"),
        ("measures",),
        ("world",),
        ("load",),
        ("faults",),
        ("plan",),
        ("app", "storage"),
        ("stack",),
        ("blocks",),
        ("own_app",),
        ("run", "analysis"),
        ("verify", "recompute"),
        ("cli",),
        ("celery_suite", "soak", "micro"),
    ),
    "bench/measures": (
        (".", "statistics"),
        ("events",),
        ("faults", "latency", "load", "periodic"),
    ),
    "bench/faults": (
        (".",),
        ("broker",),
        ("processes",),
        ("jobs", "services"),
    ),
    "bench/app": (
        ("fault_jobs", "inline", "owner_fleet", "planted"),
        (".",),
    ),
    "bench/own_app": (
        ("children", "workload"),
        (".",),
    ),
    "reports": (
        ("data",),
        ("figures", "timelines", "verdicts"),
        ("cases", "failure"),
        ("pages",),
        ("summary", "card"),
        ("index",),
        ("versus",),
        (".",),
    ),
    "reports/figures": (
        (".",),
        ("latency", "load", "periodic"),
    ),
}
#: Modules that a light import must not load.
HEAVY = ("pandas", "matplotlib", "numpy", "scipy")


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, `from a import b` as `a.b`, at whatever depth."""

    def found() -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import hides the room it reaches into"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    return tuple(found())


def ours(path: Path) -> set[str]:
    return {name for name in imported(path) if name.partition(".")[0] in ROOMS}


@cache
def modules() -> Mapping[str, Path]:
    """Every module of ours by its dotted name; a package is its `__init__`."""
    found = {}
    for room in ROOMS:
        for path in sources(room):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> Mapping[Path, AbstractSet[Path]]:
    """The files of ours that each file imports, late imports and those for type checking counted."""
    known = modules()
    found: dict[Path, set[Path]] = {path: set() for path in known.values()}
    for path, targets in found.items():
        for name in ours(path):
            while name not in known:
                name = name.rpartition(".")[0]  # noqa: PLW2901 - an attribute: its module is meant
            targets.add(known[name])
        targets.discard(path)
    return found


def circle(graph: Mapping[Path, AbstractSet[Path]]) -> list[str]:
    """The nodes of one circle in order, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(path.relative_to(ROOT)) for path in error.args[1]]
    return []


def between_folders() -> dict[Path, set[Path]]:
    """The folders that the modules of each folder import; a door imports what it opens."""
    found: dict[Path, set[Path]] = defaultdict(set)
    for path, targets in imports().items():
        if path.name not in DOORS:
            found[path.parent] |= {target.parent for target in targets} - {path.parent}
    return found


def floor_of(path: Path, room: str) -> int | None:
    """The floor on which a file lies in a room; None where it lies elsewhere."""
    base = ROOT / room
    if not path.is_relative_to(base):
        return None
    below = path.relative_to(base)
    folder = below.parts[0] if len(below.parts) > 1 else "."
    floors = [number for number, folders in enumerate(FLOORS[room]) if folder in folders]
    assert floors, f"{path.relative_to(ROOT)} lies on no floor of {room}: name its folder in FLOORS"
    return floors[0]


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the statement."""
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    allowed = (*ALLOWED[room], room)
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in ours(path)
        if not any(name == may or name.startswith(f"{may}.") for may in allowed)
    }
    assert sources(room)
    assert wrong == set()


def test_no_import_runs_in_a_circle_between_files() -> None:
    assert circle(imports()) == []


def test_no_import_runs_in_a_circle_between_folders() -> None:
    assert circle(between_folders()) == []


def test_a_circle_is_found() -> None:
    a, b, c = (ROOT / name for name in "abc")
    assert circle({a: {b}, b: {c}, c: set()}) == []
    assert set(circle({a: {b}, b: {c}, c: {a}})) == {"a", "b", "c"}


@pytest.mark.parametrize("room", FLOORS)
def test_a_folder_imports_lower_floors_alone(room: str) -> None:
    wrong = set()
    for path, targets in imports().items():
        if path.name in DOORS:
            continue
        for target in targets:
            here, there = floor_of(path, room), floor_of(target, room)
            apart = path.parent != target.parent and not _one_folder(path, target, room)
            if here is not None and there is not None and apart and there >= here:
                wrong.add(f"{path.relative_to(ROOT)} imports {target.relative_to(ROOT)}")
    assert wrong == set()


def _one_folder(path: Path, target: Path, room: str) -> bool:
    """Whether two files lie in the same folder of a room, however deep: its own floors tell them apart."""
    tops = [
        each.relative_to(ROOT / room).parts for each in (path, target) if each.is_relative_to(ROOT / room)
    ]
    return len(tops) == 2 and all(len(parts) > 1 for parts in tops) and tops[0][0] == tops[1][0]


def test_a_folder_holds_no_more_modules_than_one_can_see() -> None:
    flat = Counter(path.parent for path in modules().values() if path.name != "__init__.py")
    crowded = {
        str(folder.relative_to(ROOT)): count for folder, count in flat.items() if count > MODULES_LIMIT
    }
    assert flat
    assert crowded == {}


def test_a_folder_tells_what_belongs_in_it() -> None:
    silent = {
        str(folder.relative_to(ROOT))
        for folder in {path.parent for path in modules().values()}
        if folder != ROOT / "bench/micro"  # tests of pytest-benchmark, collected as tests are
        and not ((door := folder / "__init__.py").exists() and ast.get_docstring(ast.parse(door.read_text())))
    }
    assert silent == set()


def test_supervision_is_made_of_the_standard_library_alone() -> None:
    allowed = sys.stdlib_module_names
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("inprocess/supervision")
        for name in imported(path)
        if name.partition(".")[0] not in allowed and not name.startswith("inprocess.supervision.")
    }
    assert wrong == set()


def test_importing_inprocess_loads_no_third_party_module() -> None:
    bare = loaded_by("pass")
    foreign = loaded_by("import inprocess") - bare - set(sys.stdlib_module_names) - {"inprocess"}
    assert foreign == set()


@pytest.mark.parametrize(
    "statement",
    ["import celery_impl", "import celery_impl.app", "from celery_impl import account_setup, account_sync"],
)
def test_importing_celery_impl_loads_neither_pandas_nor_a_plotter(statement: str) -> None:
    assert loaded_by(statement) & set(HEAVY) == set()


def test_a_build_does_not_load_the_other() -> None:
    assert "celery" not in loaded_by("from inprocess import account_setup, account_sync, welcome_email")
    assert "inprocess" not in loaded_by("from celery_impl import account_setup, account_sync, welcome_email")
