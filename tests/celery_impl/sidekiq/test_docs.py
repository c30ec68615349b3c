"""The page about `Sidekiq(app)`: its blocks are run in their order, and print what the page says.

1. A block that begins with `# NAME.py` is a file of the reader's; later blocks import it.
2. A Python block with a text block behind it is a program, and what that prints.
3. A console block is commands (`$ …`) and what each prints; one that starts a worker or beat goes on.

The broker's URL is replaced by the test's, each id by ID, seconds by N s.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "docs" / "sidekiq.md"
FENCE = re.compile(r"^```(python|text|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\n")
URL = "redis://localhost:6379/0"
CHANGES = [(re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID")]
CHANGES += [(re.compile(r"\b\d+(\.\d+)? s\b"), "N s"), (re.compile(r" {2,}"), "  ")]


def plain(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in CHANGES:
        text = pattern.sub(word, text)
    return text.strip()


class Reader:
    """Somebody who does what the page says, in a folder of their own."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.folder = lab.folder / "reader"
        self.folder.mkdir()
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PYTHONPATH": f"{ROOT}:{self.folder}", "PATH": programs, "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment = {**os.environ, **own}
        self.going_on: list[subprocess.Popen[bytes]] = []

    def writes(self, name: str, code: str) -> None:
        (self.folder / name).write_text(code.replace(URL, self.lab.broker.url))

    def runs(self, *command: str) -> str:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def starts(self, *command: str) -> None:
        log = self.folder / f"{len(self.going_on)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=self.environment, cwd=self.folder)
        self.going_on.append(process)
        self.lab.eventually(lambda: re.search(r" ready\.|beat: Starting", log.read_text(errors="replace")))

    def ends(self) -> None:
        for process in self.going_on:
            process.terminate()
        for process in self.going_on:
            process.wait(30)


@pytest.fixture
def reader(lab: Any) -> Iterator[Reader]:
    made = Reader(lab)
    yield made
    made.ends()


def blocks() -> list[tuple[str, str]]:
    found = [(match[1], match[2]) for match in FENCE.finditer(PAGE.read_text())]
    assert len(found) == PAGE.read_text().count("```") // 2, "a block of another language, or one not closed"
    return found


@pytest.mark.timeout(300)
def test_every_block_of_the_page_does_what_the_page_says(reader: Reader) -> None:
    found = blocks()
    for number, (kind, text) in enumerate(found):
        if kind == "python" and (name := FILE.match(text)):
            reader.writes(name[1], text)
        elif kind == "python":
            reader.writes("program.py", text)
            following, output = found[number + 1]
            assert following == "text", f"nothing says what this prints:\n{text}"
            assert plain(reader.runs(sys.executable, "program.py")) == plain(output), text
        elif kind == "console":
            for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                words = shlex.split(command)
                if {"worker", "beat"} & set(words):
                    reader.starts(*words)
                else:
                    assert plain(reader.runs(*words)) == plain(output), command
