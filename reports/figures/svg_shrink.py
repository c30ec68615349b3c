"""An SVG as matplotlib writes it, made several times smaller without a visible change."""

from __future__ import annotations

import re
import zlib

_USES = re.compile(r"<g>((?:\s*<use [^>]*/>)+)\s*</g>")
_STYLE = re.compile(r' style="[^"]*"')
_COMMAND = re.compile(r"\s*([A-Za-z])\s*")
_GROUP = re.compile(r"<g(>| [^>]*>)|</g>")
_REFERRED = re.compile(r'(?<=href="#)[^"]+|(?<=url\(#)[^)]+')


def smaller(svg: str, slug: str) -> str:
    """The `<svg>` element alone, with short ids that no other figure of the page has.

    Numbers keep a tenth of a point, small ones a hundredth; marks of one line share their style; ids
    that nothing refers to go, and so do groups that say nothing.
    """
    body = svg[svg.index("<svg") :].replace("xlink:href", "href")
    body = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", lambda tag: _rounded(tag[0]), body)  # in tags alone: text stays as it is
    body = _USES.sub(_shared, re.sub(r"\n\s*", "\n", body))
    return _ungrouped(_short_ids(body, f"s{zlib.crc32(slug.encode()):x}-")).replace("\n", "")


def _rounded(tag: str) -> str:
    """A tag without digits that nobody sees, a turn by nothing, and the font that the page's own replaces."""
    tag = re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"(\d\d\.\d)\d+", r"\1", tag))
    tag = re.sub(r"; stroke-linejoin: miter|; stroke-linecap: square", "", tag)
    tag = re.sub(r' transform="rotate\(-?0 [^"]*"|font-family: [^;"]*; ?', "", tag)
    tag = re.sub(r"(?<=[;:]) ", "", tag)
    return re.sub(r' d="([^"]*)"', lambda path: f' d="{_COMMAND.sub(_bare, path[1]).strip()}"', tag)


def _bare(command: re.Match[str]) -> str:
    return command[1]


def _shared(group: re.Match[str]) -> str:
    """The style of the marks on their group, where it is one for all."""
    styles = set(_STYLE.findall(group[1]))
    if len(styles) != 1:
        return group[0]
    return f"<g{styles.pop()}>{_STYLE.sub('', group[1])}\n</g>"


def _ungrouped(body: str) -> str:
    """The same without groups that have no attribute."""
    bare: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0] != "</g>":
            bare.append(tag[1] == ">")
            return "" if bare[-1] else tag[0]
        return "" if bare.pop() else tag[0]

    return _GROUP.sub(kept, body)


def _short_ids(body: str, prefix: str) -> str:
    names = {name: f"{prefix}{number}" for number, name in enumerate(dict.fromkeys(_REFERRED.findall(body)))}
    body = re.sub(
        r' id="([^"]*)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", body
    )
    return _REFERRED.sub(lambda found: names[found[0]], body)
