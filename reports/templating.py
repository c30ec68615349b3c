"""The pages' templates, their style sheets, and their one script with its hash for the CSP."""

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
SCRIPT = "sort.js"
#: What marks a page as ours, so that no other file of its name is ever written over.
GENERATOR = "queue-or-task"


def rendered(template: str, *, sheets: Sequence[str] = SHEETS, **values: object) -> str:
    """A page in the look of these sheets; every value is escaped, and the same values give the same text."""
    script = _file(SCRIPT)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            generator=GENERATOR,
            styles=Markup("\n".join(_file(f"styles/{sheet}.css") for sheet in sheets)),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=f"sha256-{digest}",
        )
    )


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
