"""The pages' templates, their style sheets, and their scripts with the hashes for the CSP."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

#: The look of the lists; the report has its own.
SHEETS = ("base", "figures", "tables", "foot", "lists", "print")
SCRIPTS = ("sort",)
#: What marks a page as ours, so that no other file of its name is ever written over.
GENERATOR = "queue-or-task"


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


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
