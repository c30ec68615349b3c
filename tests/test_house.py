"""The law of the house: who may import whom (docs/architecture.md), read from the source and tried out."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
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
#: Modules that a light import must not load.
HEAVY = ("pandas", "matplotlib", "numpy", "scipy")


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, `from a import b` as `a.b`, at whatever depth."""
    for found in ast.walk(ast.parse(path.read_text())):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            assert found.level == 0, f"{path}: a relative import hides the room it reaches into"
            yield from (f"{found.module}.{alias.name}" for alias in found.names)


def ours(path: Path) -> set[str]:
    return {name for name in imported(path) if name.partition(".")[0] in ROOMS}


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
