"""Text and JSON of a run, fit to be printed: a run directory may hold anything."""

from __future__ import annotations

import json
import sys
from typing import Any

#: Characters of one text that are kept; a longer text is cut.
LONGEST_TEXT = 2_000


def json_of(content: bytes) -> Any:
    """What a JSON file holds, its text fit to be printed; raise ValueError where it is none."""
    try:
        return printable(json.loads(content.decode("utf-8")))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def printable(value: Any) -> Any:
    """The value with text that UTF-8 can hold, cut where it is longer than anybody reads.

    A whole number too large for arithmetic becomes text.
    """
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return cut(str(value))
    if isinstance(value, str):
        return cut(value.encode("utf-8", "replace").decode("utf-8"))
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return value


def cut(text: str) -> str:
    """The text, or its beginning and how long it was."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text):,} characters)"


def one_line(error: BaseException) -> str:
    """What the error says, in one line that is not long."""
    return " ".join(str(error).split())[:200] or type(error).__name__
