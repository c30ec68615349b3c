"""`summary.md`: the summary as a comment on a change, made of `summary.json` alone.

GitHub's Markdown without HTML. Text from a run is escaped: it opens no tag and no link, breaks no table and
mentions nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.schema import REPORT
from reports.data import formatting
from reports.summary.figures import formatted, title
from reports.summary.plain import number

#: Characters of the text; GitHub allows 65,536.
LONGEST = 60_000
#: Characters of one cell; the report has the rest.
LONGEST_CELL = 600
#: Rows of faults that broke a promise; the report has the rest.
MOST_FAULTS = 40
#: Digits of a commit that are shown.
COMMIT_DIGITS = 10

_CHOICES = {"queue": "queue", "no queue": "no queue needed", "neither": "neither is enough"}
_MARKUP = re.compile(r"([\\`*_{}\[\]#|~$])")

_Summary = Mapping[str, Any]


def markdown(summary: _Summary) -> str:
    """The comment: verdicts, key figures with their intervals, faults, thresholds, where it comes from."""
    parts = [
        f"### queue-or-task: {escape(summary['profile'])} run {escape(summary['run'])}",
        _stamps(summary),
        _verdicts(summary),
        _thresholds(summary),
        _figures(summary),
        _comparisons(summary),
        _faults(summary),
        _lacking(summary),
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
    return "\n".join([f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *lines]) if lines else ""


def _titled(heading: str, table: str) -> str:
    return f"**{heading}**\n\n{table}" if table else ""


def _stamps(summary: _Summary) -> str:
    return "\n".join(f"> **{escape(stamp)}**  " for stamp in summary["stamps"])


def _verdicts(summary: _Summary) -> str:
    rows = [
        (
            formatting.scenario(item["scenario"]),
            _CHOICES.get(item["choice"], item["choice"]),
            item["sentence"],
        )
        for item in summary["verdicts"]
    ]
    return _table(("scenario", "verdict", "because"), rows) or "Nothing was measured."


def _thresholds(summary: _Summary) -> str:
    rows = [
        ("✓" if item["met"] is True else "✗", item["text"], _found(item["value"]), item["subject"])
        for item in summary["thresholds"]
    ]
    return _titled("Thresholds", _table(("", "threshold", "found", "where"), rows))


def _found(value: object) -> str:
    if value is None:
        return "not measured"
    return "> limit" if value == "inf" else f"{number(value):g}"


def _figures(summary: _Summary) -> str:
    """A row for each figure, a column for each side that has one."""
    figures = summary["figures"]
    sides = list(dict.fromkeys(item["side"] for item in figures))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for item in figures:
        cells = rows.setdefault((item["key"], item["scenario"], item["policy"]), {})
        cells[item["side"]] = _with_range(item)
    cells_of = [
        (title(*key), *(cells.get(side, formatting.NOTHING) for side in sides)) for key, cells in rows.items()
    ]
    table = _table(("", *map(formatting.side, sides)), cells_of)
    text = "Figures: the median over blocks with their range; losses in percent of the jobs exposed"
    return _titled(f"{text}, with what so few strikes still allow", table)


def _with_range(item: _Summary) -> str:
    value, low, high = (formatted(number(item[name]), item["key"]) for name in ("value", "low", "high"))
    if item["unit"] == "share":
        value = "unknown" if value == formatting.NOTHING else value
        return f"{value} of {item['n']}, up to {high} of strikes"
    return formatting.spread(value, low, high)


def _comparisons(summary: _Summary) -> str:
    """The median of each metric, and the highest quantile of the response."""
    found = summary["comparisons"]
    shown_ones = [item for item in found if item["quantile"] == formatting.MEDIAN or _is_tail(item, found)]
    rows = [
        (
            (
                f"{formatting.scenario(item['scenario'])}: "
                f"{formatting.metric(item['metric'], number(item['quantile']))}"
            ),
            f"{formatting.side(item['side'])} over {formatting.side(item['baseline'])}",
            formatting.times(*(number(item[name]) for name in ("ratio", "low", "high"))),
            item["words"] or "not compared",
        )
        for item in shown_ones
        if item["metric"] in {"response", "caller", "request"}
    ]
    table = _table(("figure", "sides", "ratio (95 % interval)", "in words"), rows)
    return _titled("Comparisons over pairs of blocks", table)


def _is_tail(item: _Summary, found: Sequence[_Summary]) -> bool:
    same = [
        number(other["quantile"])
        for other in found
        if other["scenario"] == item["scenario"] and other["metric"] == item["metric"] == "response"
    ]
    return number(item["quantile"]) == max(same, default=formatting.MEDIAN)


def _faults(summary: _Summary) -> str:
    """The faults that broke something or left it open; the others in one line."""
    faults = [item for item in summary["faults"] if item["accepted"]]
    bad = [item for item in faults if not _is_clean(item)]
    rows = [
        (
            f"{item['name']}: {formatting.scenario(item['scenario'])}",
            formatting.side(item["side"]),
            item["strikes"],
            item["accepted"],
            item["lost"],
            item["duplicated"],
            item["stuck"],
            f"{item['at_least_once']} / {item['at_most_once']}",
        )
        for item in bad[:MOST_FAULTS]
    ]
    titles = ("fault", "side", "strikes", "accepted", "lost", "doubled", "stuck", "at least / at most once")
    table = _titled("Faults that lost, doubled or held back jobs, or left it open", _table(titles, rows))
    return "\n\n".join(filter(None, [table, _clean(faults, bad)]))


def _is_clean(item: _Summary) -> bool:
    kept = item["lost"] == item["duplicated"] == item["stuck"] == 0
    return bool(kept and item["at_least_once"] == item["at_most_once"] == "held")


def _clean(faults: Sequence[_Summary], bad: Sequence[_Summary]) -> str:
    if not faults:
        return ""
    more = f" {len(bad) - MOST_FAULTS} more rows are in {REPORT}." if len(bad) > MOST_FAULTS else ""
    clean = [item for item in faults if _is_clean(item)]
    if not clean:
        return more.strip()
    bound = max(item["lost_bound"] for item in clean)
    return (
        f"No job lost, doubled or stuck at {len(clean)} of {len(faults)} pairs of a fault and a side; so few "
        f"strikes still allow {formatting.percent(bound)} of such strikes to lose one (95 % bound).{more}"
    )


def _lacking(summary: _Summary) -> str:
    lines = [
        f"- Not measured: {escape(gap['what'])}. Fill it with {code(gap['command'])}"
        for gap in summary["missing"]
    ]
    lines += [f"- Not read in full: {escape(problem)}" for problem in summary["problems"]]
    return "\n".join(lines)


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
