"""Text and JSON from a run, made printable: a run directory may hold anything."""

from __future__ import annotations

import json
import sys
from typing import Any

#: Characters of one text that are kept; a longer text is cut.
LONGEST_TEXT = 2_000


def json_of(content: bytes) -> Any:
    """The content of a JSON file, made printable; raise ValueError if it is not JSON."""
    try:
        return printable(json.loads(content.decode("utf-8")))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def printable(value: Any) -> Any:
    """The value with every text valid UTF-8 and at most `LONGEST_TEXT` long.

    An integer too large for a float becomes text.
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
    """The text; a longer one is cut and gives its length."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text):,} characters)"


def one_line(error: BaseException) -> str:
    """The message of an error in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__
