"""The pages' templates, their style sheets, and their scripts with the hashes for the CSP."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

#: The look of the lists; the report has its own.
SHEETS = ("base", "figures", "tables", "foot", "lists", "print")
SCRIPTS = ("sort",)
#: What marks a page as ours, so that no other file of its name is ever written over.
GENERATOR = "queue-or-task"
#: A space between a number and its unit, which must not be at the end of a line.
_BEFORE_UNIT = re.compile(
    r"(?<=\d) (?=(?:µs|ms|s|min|kB|MB|GB|ppm|%|\N{MULTIPLICATION SIGN})(?![\w/]))"
    r"|(?<=kill) (?=-9)|(?<=stock|dened) (?=Celery)"
)


def rendered(
    template: str, *, sheets: Sequence[str] = SHEETS, scripts: Sequence[str] = SCRIPTS, **values: object
) -> str:
    """A page in the look of these sheets, with these scripts; every value is escaped.

    The same values give the same text.
    """
    style = "\n".join(_file(f"styles/{sheet}.css") for sheet in sheets)
    script = "\n".join(_file(f"{name}.js") for name in scripts)
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            generator=GENERATOR,
            styles=Markup(style),  # noqa: S704 - our own files
            style_hash=_hash(style),
            script=Markup(script),  # noqa: S704 - our own files
            script_hash=_hash(script),
        )
    )


def _hash(text: str) -> str:
    """What a content security policy knows this text by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return resources.files("reports").joinpath("templates", name).read_text("utf-8")


def keep_together(value: object) -> object:
    """Text with no-break spaces between numbers and units; anything else, and HTML, as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", value)


def verbatim(text: str) -> Markup:
    """Text that a reader copies, a command for one: escaped, and with its spaces as they are."""
    return escape(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        finalize=keep_together,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["verbatim"] = verbatim
    return environment
