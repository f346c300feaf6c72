"""Tables of GitHub's Markdown, which Discord does not know: an aligned block of code, or records.

A table that fits a screen becomes a block of fixed-width text; a wider one becomes a list with an
entry for each row. Found among lines of text only: what stands in a block of code stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from repobridge_gateway.render.inline import escaped, inline, plain
from repobridge_gateway.render.measure import columns

WIDEST = 76
"""Columns of fixed-width text that a window of Discord shows without breaking them."""
_SHORT_RECORD = 100
_LONGEST_DELIMITERS = 1000
_DELIMITERS = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_CELL_END = re.compile(r"(?<!\\)(?:\\\\)*\|")


class Alignment(Enum):
    """Where the cells of a column stand."""

    LEFT = 1
    RIGHT = 2
    CENTER = 3


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the lines from `first` up to `end` that hold it."""

    first: int
    end: int
    header: tuple[str, ...]
    alignments: tuple[Alignment, ...]
    rows: tuple[tuple[str, ...], ...]


def find(lines: Sequence[str]) -> tuple[Table, ...]:
    """The tables among lines of text."""
    found: list[Table] = []
    at = 0
    while at < len(lines):
        table = _table(lines, at)
        if table is None:
            at += 1
        else:
            found.append(table)
            at = table.end
    return tuple(found)


def readable(table: Table, *, widest: int = WIDEST) -> str:
    """A table for people: as a block of code where it fits, else as a list of records."""
    block = _block(table)
    if max(map(columns, block)) <= widest:
        return "\n".join(["```", *block, "```"])
    return "\n".join(line for row in table.rows for line in _record(table, row))


def _table(lines: Sequence[str], at: int) -> Table | None:
    if at + 1 >= len(lines) or "|" not in lines[at]:
        return None
    if len(lines[at + 1]) > _LONGEST_DELIMITERS or not _DELIMITERS.fullmatch(lines[at + 1]):
        return None
    header, delimiters = _cells(lines[at]), _cells(lines[at + 1])
    if len(header) != len(delimiters) or ("|" not in lines[at + 1] and len(header) > 1):
        return None
    end = at + 2
    while end < len(lines) and "|" in lines[end] and lines[end].strip():
        end += 1
    rows = tuple(_fitted(_cells(line), len(header)) for line in lines[at + 2 : end])
    return Table(at, end, header, tuple(map(_alignment, delimiters)), rows)


def _cells(line: str) -> tuple[str, ...]:
    text = line.strip()
    text = text.removeprefix("|")
    cells: list[str] = []
    start = 0
    for found in _CELL_END.finditer(text):
        cells.append(text[start : found.end() - 1])
        start = found.end()
    if text[start:].strip():
        cells.append(text[start:])
    return tuple(cell.replace("\\|", "|").strip() for cell in cells)


def _fitted(cells: tuple[str, ...], count: int) -> tuple[str, ...]:
    return (cells + ("",) * count)[:count]


def _alignment(delimiter: str) -> Alignment:
    if delimiter.endswith(":"):
        return Alignment.CENTER if delimiter.startswith(":") else Alignment.RIGHT
    return Alignment.LEFT


def _block(table: Table) -> list[str]:
    shown = [
        tuple(plain(cell).replace("`", "'") for cell in row) for row in (table.header, *table.rows)
    ]
    widths = [max(map(columns, column)) for column in zip(*shown, strict=True)]
    rule = "  ".join("─" * max(1, width) for width in widths)
    header, *rows = (_aligned(row, widths, table.alignments) for row in shown)
    return [header, rule, *rows]


def _aligned(row: Sequence[str], widths: Sequence[int], alignments: Sequence[Alignment]) -> str:
    cells: list[str] = []
    for cell, width, alignment in zip(row, widths, alignments, strict=True):
        space = width - columns(cell)
        before = {Alignment.LEFT: 0, Alignment.RIGHT: space, Alignment.CENTER: space // 2}[
            alignment
        ]
        cells.append(" " * before + cell + " " * (space - before))
    return "  ".join(cells).rstrip()


def _record(table: Table, row: Sequence[str]) -> list[str]:
    """A row as an entry of a list: on one line where it is short, else with one for each cell."""
    title = escaped(plain(row[0]))
    told = [
        f"{escaped(plain(name))}: {inline(cell)}" if name.strip() else inline(cell)
        for name, cell in zip(table.header[1:], row[1:], strict=True)
        if cell
    ]
    if not title and not told:
        return []
    head = f"- **{title}**" if title else "-"
    line = " · ".join([head, *told]) if title else f"- {' · '.join(told)}"
    if columns(line) <= _SHORT_RECORD:
        return [line.replace("\n", " / ")]
    return [head if title else "- –", *(f"  - {each}".replace("\n", " / ") for each in told)]
