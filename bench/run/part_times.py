"""When each part of a run (the blocks of one measure) was measured: `parts` of `run.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bench.storage.manifest import now
from bench.storage.run_directory import RunDirectory


class PartTimes:
    """Notes the times of each part. A resumed run adds records, and keeps those of the first sitting."""

    def __init__(
        self, directory: RunDirectory, guesses_s: Mapping[str, float], say: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._guesses_s = guesses_s
        self._say = say
        self._before = list(directory.manifest.get("parts", []))
        self._parts: dict[str, dict[str, Any]] = {}
        self._begun: set[str] = set()

    def begin(self, measure: str) -> None:
        """Say that a part begins, and how long it takes; nothing if it has begun already."""
        if measure not in self._begun:
            self._begun.add(measure)
            minutes = self._guesses_s.get(measure, 0.0) / 60
            self._say(f"{measure}: from {datetime.now().astimezone():%H:%M}, about {minutes:.1f} min")

    def end(self, measure: str, began: str) -> None:
        """Note that a block of the part has ended, which began at `began`."""
        part = self._parts.setdefault(measure, {"measure": measure, "began": began, "blocks": 0})
        part |= {"ended": now(), "blocks": part["blocks"] + 1}
        self._directory.save_manifest(parts=[*self._before, *self._parts.values()])
