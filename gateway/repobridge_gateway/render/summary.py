"""The beginning of a long text, as much as says what it is about; code is never cut in it."""

from __future__ import annotations

from collections.abc import Sequence

from repobridge_gateway.render.fences import Kind, Line, scan
from repobridge_gateway.render.measure import is_blank, units
from repobridge_gateway.render.split import SHORTEST_LIMIT, split


def summary(markdown: str, *, limit: int) -> str:
    """The first heading and paragraphs of at most `limit` units, without blocks of code.

    `limit` is 240 at least. A first paragraph that is longer is cut, and then ends in an ellipsis.
    """
    told: list[str] = []
    room = limit
    for block in _blocks(scan(markdown)):
        text = "\n".join(line.text for line in block).rstrip()
        if block[0].kind is not Kind.TEXT:
            # What follows would speak of code that isn't there.
            if any(not each.startswith("#") for each in told):
                break
            continue
        needed = units(text) + 2
        if needed > room:
            if not any(not each.startswith("#") for each in told) and room > SHORTEST_LIMIT:
                told.append(f"{split(text, limit=room - 2)[0].rstrip()} …")
            break
        told.append(text)
        room -= needed
    return "\n\n".join(told)


def _blocks(lines: Sequence[Line]) -> list[list[Line]]:
    """Paragraphs, and blocks of code."""
    blocks: list[list[Line]] = []
    present: list[Line] = []
    for line in lines:
        is_end = line.kind is Kind.TEXT and is_blank(line.text)
        is_new = line.kind is Kind.OPEN or (present and present[-1].kind is Kind.CLOSE)
        if (is_end or is_new) and present:
            blocks.append(present)
            present = []
        if not is_end:
            present.append(line)
    return [*blocks, present] if present else blocks
