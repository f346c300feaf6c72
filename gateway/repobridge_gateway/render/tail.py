"""The end of a text that still grows: as much of it as fits, cut at a line, its code still code."""

from __future__ import annotations

from repobridge_gateway.render.fences import Kind, Line, scan
from repobridge_gateway.render.measure import index_within, units, well_formed

_CUT = "…\n"


def keep_end(markdown: str, *, limit: int) -> str:
    """The last lines of at most `limit` units, with every block of code closed.

    A text that is cut begins with an ellipsis on a line of its own.
    """
    text = well_formed(markdown).rstrip()
    lines = scan(text)
    closing = _closing(lines[-1])
    if units(text + closing) <= limit:
        return text + closing
    at, room = len(lines), limit - units(_CUT + closing) + 1
    while at > 0 and units(lines[at - 1].text) + 1 + units(_opening(lines[at - 1])) <= room:
        at -= 1
        room -= units(lines[at].text) + 1
    if at < len(lines):
        # An end of code without its code is not worth a line.
        at += lines[at].kind is Kind.CLOSE
        body = "\n".join(line.text for line in lines[at:])
        return f"{_CUT}{_opening(lines[at])}{body}{closing}" if at < len(lines) else _CUT.strip()
    last, opening = lines[-1], _opening(lines[-1])
    kept = last.text[::-1][: index_within(last.text[::-1], room - 1 - units(opening) - 1)][::-1]
    # A word that is cut goes, where that leaves most of the line.
    _, space, whole = kept.partition(" ")
    kept = whole if space and len(whole) > len(kept) // 2 else kept
    return f"{_CUT}{opening}…{kept}{closing}"


def _opening(line: Line) -> str:
    """What makes a line code again whose fence was cut off."""
    is_within = line.kind in {Kind.CODE, Kind.CLOSE} and line.fence is not None
    return f"{line.fence.opening}\n" if is_within and line.fence is not None else ""


def _closing(line: Line) -> str:
    is_open = line.leaves_open and line.fence is not None
    return f"\n{line.fence.closing}" if is_open and line.fence is not None else ""
