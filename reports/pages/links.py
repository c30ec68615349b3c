"""Links that lead somewhere: to files beside the page, to the project and its documents, and to the page."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, urlsplit

from bench.schema import REPORT
from reports.data.errors import RunError
from reports.data.run import Run

#: The distribution whose metadata names the project's address.
DISTRIBUTION = "queue-or-task"
#: Folders above a run directory in which the documents may lie: of `results/RUN` and of `docs/example`.
LEVELS = 2
#: Labels of the address that a reader wants, the best first.
_LABELS = ("homepage", "repository", "source")


def is_beside(run: Run, name: str) -> bool:
    """Whether a file of the run directory is there, so that a link to it leads somewhere."""
    return Path(name).name == name and (run.directory / name).is_file()


@cache
def project() -> str:
    """The project's address, from the installed distribution; empty where that has none."""
    try:
        found = metadata.metadata(DISTRIBUTION).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    urls = {label.strip().lower(): url.strip() for label, _, url in (item.partition(",") for item in found)}
    return next((urls[label] for label in _LABELS if urls.get(label, "").startswith("https://")), "")


class Documents:
    """The project's documents as seen from a run directory that lies in a copy of the project."""

    def __init__(self, run: Run) -> None:
        self._directory = run.directory.resolve()
        self._faults = self._find("faults.md")
        self._anchors = _anchors(self._faults) if self._faults else {}

    def expectation(self, fault: str) -> str:
        """The address of what was expected at a fault, as in "10 kill -9 of the app"; empty without docs."""
        number = fault.partition(" ")[0]
        if self._faults is None or number not in self._anchors:
            return ""
        return f"{os.path.relpath(self._faults, self._directory)}#{self._anchors[number]}"

    def _find(self, name: str) -> Path | None:
        candidates = (parent / "docs" / name for parent in self._directory.parents[:LEVELS])
        return next((path for path in candidates if path.is_file()), None)


def _anchors(page: Path) -> dict[str, str]:
    """Each numbered heading's anchor as GitHub makes it, by its number."""
    headings = re.findall(r"^## ((\d+)\. .+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {number: re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text, number in headings}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Where the run directory will be published, and the name of the card beside the page, or nothing."""

    base_url: str
    card: str = ""

    @property
    def url(self) -> str:
        """The page's address."""
        return self._of(REPORT)

    @property
    def image(self) -> str:
        """The card's address; empty where there is no card."""
        return self._of(self.card) if self.card else ""

    def _of(self, name: str) -> str:
        return f"{self.base_url.rstrip('/')}/{quote(name)}"


def make_share(card: Path | None, base_url: str, *, form: str) -> Share | None:
    """What a link to the page shows, or None without an address.

    Raise RunError for a card that is no PNG, an address that is none, and either without a page.
    """
    if form != "html" and (card or base_url):
        raise RunError(f"--card and --base-url belong to the page: leave out --format {form}")
    if card and card.suffix.lower() != ".png":
        raise RunError(f"{card} is no PNG: name a file that ends with .png")
    address = urlsplit(base_url)
    if base_url and not (address.scheme in {"http", "https"} and address.netloc):
        raise RunError(f"{base_url} is no address: name one as https://example.org/run")
    return Share(base_url=base_url, card=card.name if card else "") if base_url else None
