"""The pages that teach the runtime: each block is run as a program, and prints what the page says."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inprocess.supervision
import inprocess.testing

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "docs" / name for name in ("runtime.md", "celery-without-a-broker.md")]
#: A program, and what it prints.
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)

BLOCKS = [
    pytest.param(match["code"], match["output"], id=f"{page.stem} {number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text()), 1)
]
MODULES = sorted(
    found.name
    for package in (inprocess.supervision, inprocess.testing)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


def test_every_block_of_a_page_is_followed_by_what_it_prints() -> None:
    assert len(BLOCKS) == sum(page.read_text().count("```python") for page in PAGES) > 15


@pytest.mark.parametrize(("code", "output"), BLOCKS)
def test_a_block_of_the_page_prints_what_the_page_says(code: str, output: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(code)
    ended = subprocess.run(
        [sys.executable, "-X", "dev", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert (ended.stdout, ended.returncode) == (output, 0), ended.stderr
    for trouble in ("never awaited", "never retrieved", "was destroyed", "unclosed"):
        assert trouble not in ended.stderr, ended.stderr


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
