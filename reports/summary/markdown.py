"""`summary.md`: the summary as a comment on a change, made of `summary.json` alone.

GitHub's Markdown without HTML. Text from a run is escaped: it opens no tag and no link, breaks no table and
mentions nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.schema import REPORT, SIDES
from reports.data import formatting
from reports.summary.plain import number
from reports.summary.terminal import marked_sides

#: Characters of the text; GitHub allows 65,536.
LONGEST = 60_000
#: Characters of one cell; the report has the rest.
LONGEST_CELL = 300
#: Rows of each table that fit a screen; the report has the rest.
MOST_ROWS = 10
#: Digits of a commit that are shown.
COMMIT_DIGITS = 10

_MARKUP = re.compile(r"([\\`*_{}\[\]#|~$])")

_Summary = Mapping[str, Any]


def markdown(summary: _Summary) -> str:
    """One screen: warnings, the answer, a table of verdicts, thresholds, faults that broke something."""
    parts = [
        f"### queue-or-task: {escape(summary['profile'])} run {escape(summary['run'])}",
        _stamps(summary),
        escape(summary["answer"]),
        _verdicts(summary),
        _notes(summary),
        _thresholds(summary),
        _faults(summary),
        _missing(summary),
        _origin(summary),
    ]
    text = "\n\n".join(filter(None, parts)) + "\n"
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].rpartition("\n")[0] + f"\n\nCut here: the rest is in {REPORT}.\n"


def escape(value: object) -> str:
    """Text as text: one line, no markup, no tag, no mention."""
    line = " ".join(str(value).split())
    line = line if len(line) <= LONGEST_CELL else f"{line[:LONGEST_CELL]}…"
    line = _MARKUP.sub(r"\\\1", line)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return line.replace("@", "&#64;").replace("://", ":&#47;/")


def code(text: str) -> str:
    """Text between backticks, more of them than it has in a row."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_CELL else f"{line[:LONGEST_CELL]}…"
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    room = " " if "`" in line else ""
    return f"{fence}{room}{line}{room}{fence}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(map(escape, row))} |" for row in rows]
    return (
        "\n".join([f"| {' | '.join(map(escape, titles))} |", f"|{'---|' * len(titles)}", *lines])
        if lines
        else ""
    )


def _titled(heading: str, table: str) -> str:
    return f"**{heading}**\n\n{table}" if table else ""


def _stamps(summary: _Summary) -> str:
    stamps = [*summary["stamps"], *(f"not read in full: {problem}" for problem in summary["problems"])]
    return "\n".join(f"> **{escape(stamp)}**  " for stamp in stamps)


def _verdicts(summary: _Summary) -> str:
    """A row for each verdict, a column for each side with its mark and figure."""
    sides = marked_sides(summary)
    rows = []
    for verdict in summary["verdicts"][:MOST_ROWS]:
        against = {mark["side"]: f"; but {_said(mark)}" for mark in verdict["but"]}
        cells = {mark["side"]: _mark(mark) + against.get(mark["side"], "") for mark in verdict["marks"]}
        marks = (cells.get(side, formatting.NOTHING) for side in sides)
        take = f"{verdict['take']}, {verdict['condition']}" if verdict["condition"] else verdict["take"]
        rows.append((formatting.scenario(verdict["scenario"]), *marks, take))
    return _table(("", *map(formatting.side, sides), "take"), rows) or "Nothing was measured."


def _mark(mark: _Summary) -> str:
    return f"{formatting.symbol(mark['state'])} {_said(mark)}"


def _said(mark: _Summary) -> str:
    """The text of a mark with its fault and what else stands on the card."""
    where = f" at {mark['at']}" if mark["at"] else ""
    return "; ".join([f"{mark['text']}{where}", *mark["also"]])


def _notes(summary: _Summary) -> str:
    notes = dict.fromkeys(escape(verdict["queue_note"]) for verdict in summary["verdicts"])
    return " ".join(filter(None, notes))


def _thresholds(summary: _Summary) -> str:
    """The thresholds, those that were not met first."""
    found = sorted(summary["thresholds"], key=lambda item: item["met"] is True)
    rows = [
        (_met(item["met"]), item["text"], _found(item["value"]), item["subject"])
        for item in found[:MOST_ROWS]
    ]
    return _titled(f"Thresholds{_left_out(found)}", _table(("", "threshold", "found", "where"), rows))


def _met(met: object) -> str:
    return formatting.symbol("held" if met is True else "broken")


def _left_out(rows: Sequence[object]) -> str:
    return f" ({MOST_ROWS} of {len(rows)}; the rest are in {REPORT})" if len(rows) > MOST_ROWS else ""


def _found(value: object) -> str:
    if value is None:
        return "not measured"
    return "> limit" if value == "inf" else f"{number(value):g}"


def _faults(summary: _Summary) -> str:
    """A row for each fault at which a side lost, doubled or held back a job, a column for each side."""
    faults = [item for item in summary["faults"] if item["accepted"]]
    sides = [side for side in SIDES if any(item["side"] == side for item in faults)]
    sides += dict.fromkeys(item["side"] for item in faults if item["side"] not in SIDES)
    rows: dict[tuple[str, str], dict[str, _Summary]] = {}
    for item in faults:
        rows.setdefault((item["name"], item["scenario"]), {})[item["side"]] = item
    bad = {key: cells for key, cells in rows.items() if any(map(_harm, cells.values()))}
    worst = sorted(bad, key=lambda key: -max(item["lost"] for item in bad[key].values()))[:MOST_ROWS]
    cells_of = [
        (
            f"{name}: {formatting.scenario(scenario)}",
            *(_cell(bad[name, scenario].get(side)) for side in sides),
        )
        for name, scenario in worst
    ]
    heading = f"Faults that lost, doubled or held back jobs, of those exposed{_left_out(list(bad))}"
    return _titled(heading, _table(("fault", *map(formatting.side, sides)), cells_of))


def _cell(item: _Summary | None) -> str:
    return formatting.NOTHING if item is None else _harm(item) or "none"


def _harm(item: _Summary) -> str:
    """What a fault did to the accepted jobs of a side; empty for nothing."""
    of = item["accepted"] if item["exposed"] is None else max(item["exposed"], item["lost"])
    parts = [
        f"{item['lost']} of {of} lost" if item["lost"] else "",
        f"{item['duplicated']} doubled" if item["duplicated"] else "",
        f"{item['stuck']} stuck" if item["stuck"] else "",
    ]
    return ", ".join(filter(None, parts))


def _missing(summary: _Summary) -> str:
    gaps = summary["missing"]
    if not gaps:
        return ""
    what = "; ".join(dict.fromkeys(str(gap["what"]) for gap in gaps))
    more = f" ({REPORT} has every command)" if len({gap["command"] for gap in gaps}) > 1 else ""
    return f"Not measured: {escape(what)}. Begin with {code(gaps[0]['command'])}{more}."


def _origin(summary: _Summary) -> str:
    commit = str(summary["commit"])[:COMMIT_DIGITS] + (" with changes" if summary["dirty"] else "")
    blocks, started = summary["blocks"], summary["started_at"] or "start not recorded"
    return (
        f"{formatting.plural(blocks['total'], 'block')}, {blocks['invalid']} left out as invalid; commit "
        f"{escape(commit)}; {escape(_machine(summary['machine']))}; {escape(started)}. "
        f"Made by {code(summary['command'])}; everything else is in {REPORT}."
    )


def _machine(machine: _Summary) -> str:
    cores = "" if machine["cores"] is None else f"{machine['cores']} cores"
    parts = [cores, *(str(machine[name] or "") for name in ("processor", "system"))]
    return ", ".join(filter(None, parts)) or "machine not recorded"
