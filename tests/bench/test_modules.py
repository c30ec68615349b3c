"""Modules that are named in a text, and modules that must stay light."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bench
from bench.plan import feasibility, plan_file, run_plan, run_request, strikes, subject

FOLDER = Path(str(bench.__file__)).parent
#: A whole string that names a module of the harness.
MODULE = re.compile(r"(bench|celery_impl|reports)(\.[a-z_]+)+")
#: Files of a run and the like, which look the same.
FILES = (".json", ".jsonl", ".csv", ".html", ".py")


def named() -> Iterator[tuple[Path, str]]:
    """Every string of the harness that is the name of a module and nothing else."""
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                if MODULE.fullmatch(text) and not text.endswith(FILES):
                    yield path, text


def test_each_module_that_is_started_by_its_name_exists() -> None:
    found = list(named())
    assert found
    assert [f"{path}: {text}" for path, text in found if importlib.util.find_spec(text) is None] == []


def test_a_plan_is_made_without_importing_a_side_that_runs() -> None:
    modules = ", ".join(
        module.__name__ for module in (run_plan, strikes, run_request, plan_file, subject, feasibility)
    )
    program = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    folders = {".".join(name.split(".")[:2]) for name in done.stdout.split()}
    assert folders & {"bench.stack", "bench.blocks", "bench.own_app", "bench.app", "bench.run"} == set()
