"""An agent's Markdown as Discord's: the same to a reader, where Discord knows less.

Headings below the third, rules, images, HTML, tables, task lists and footnotes become what Discord
shows; blocks of code get the one kind of fence that it knows. What people could be misled by (see
`inline`) is made inert. The result is Markdown still, of any length, with every fence closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from repobridge_gateway.lines import printable
from repobridge_gateway.render import tables
from repobridge_gateway.render.balance import balanced
from repobridge_gateway.render.fences import Fence, Kind, Line, opened_by, scan
from repobridge_gateway.render.inline import ZERO_WIDTH, inline
from repobridge_gateway.render.measure import well_formed

_RULE = "─" * 12
_COMMENT = re.compile(r"^[ \t]*<!--.{0,1500}?-->[ \t]*$", re.M | re.S)
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t](.*))?")
_UNDER = re.compile(r" {0,3}(=+|-+)[ \t]*")
_RULES = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*")
_DEFINITION = re.compile(
    r" {0,3}\[(?P<name>[^\[\]^][^\[\]]*)\]:[ \t]*<?(?P<url>\S+?)>?(?:[ \t]+[\"'(].*[\"')])?[ \t]*"
)
_FOOTNOTE = re.compile(r" {0,3}\[\^([^\[\]\s]{1,40})\]:[ \t]*")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|(\d{1,9})[.)])[ \t]+(?:\[([ xX])\][ \t]+)?(.*)", re.S)
_QUOTE = re.compile(r" {0,3}(?:>[ \t]?)+(.*)")
_ALERT = re.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][ \t]*")
_THREE_TICKS = re.compile("`(?=``)")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+.#-]{1,24}")


def for_discord(markdown: str, *, is_whole: bool = True) -> str:
    """The Markdown for Discord; where more is to come, a table at the end stays as it is."""
    text = printable(well_formed(markdown))
    lines = scan(text)
    references = _references(lines)
    told: list[str] = []
    at = 0
    for is_text, group in groupby(lines, key=lambda line: line.kind is Kind.TEXT):
        block = list(group)
        at += len(block)
        if is_text:
            ends_open = not is_whole and at == len(lines)
            told += _prose([line.text for line in block], references, ends_open=ends_open)
        else:
            told += [line for fenced in _fenced(block) for line in _code(fenced)]
    return "\n".join(told).strip("\n")


def _references(lines: Sequence[Line]) -> Mapping[str, str]:
    found = (_DEFINITION.fullmatch(line.text) for line in lines if line.kind is Kind.TEXT)
    return {each["name"].casefold(): each["url"] for each in found if each}


def _prose(
    lines: Sequence[str], references: Mapping[str, str], *, ends_open: bool
) -> Iterator[str]:
    text = "\n".join(lines)
    if "<!--" in text:
        lines = _COMMENT.sub("", text).split("\n")
    found = {table.first: table for table in tables.find(lines)}
    paragraph: list[str] = []
    at = 0
    was_blank = False
    while at < len(lines):
        table = found.get(at)
        if table is not None and not (ends_open and table.end >= len(lines)):
            yield from _paragraph(paragraph)
            yield from _table(table)
            at, was_blank = table.end, False
            continue
        line, taken = _block(lines, at, references)
        at += taken
        if line is None:
            continue
        if line.strip():
            paragraph.append(_guarded(line))
            was_blank = False
        elif not was_blank:
            yield from _paragraph(paragraph)
            yield ""
            was_blank = True
    yield from _paragraph(paragraph)


def _paragraph(lines: list[str]) -> Iterator[str]:
    """The lines so far, with a partner for every mark in them; then there are none."""
    if lines:
        yield balanced("\n".join(lines))
        lines.clear()


def _table(table: tables.Table) -> Iterator[str]:
    told = tables.readable(table)
    yield told if told.startswith("```") else "\n".join(map(balanced, told.split("\n")))


def _guarded(prose: str) -> str:
    """Prose in which no line has come to look like a fence."""
    if "~~~" not in prose and "```" not in prose:
        return prose
    lines = prose.split("\n")
    return "\n".join(f"{ZERO_WIDTH}{line}" if opened_by(line) else line for line in lines)


def _block(lines: Sequence[str], at: int, references: Mapping[str, str]) -> tuple[str | None, int]:
    """What a line becomes (None: nothing), and how many lines it stands for."""
    line = lines[at]
    below = _UNDER.fullmatch(lines[at + 1]) if at + 1 < len(lines) else None
    is_alone = at == 0 or not _is_paragraph(lines[at - 1])
    if below and is_alone and len(below[1]) >= 3 and _is_paragraph(line):
        return f"{'#' if below[1][0] == '=' else '##'} {inline(line.strip(), references)}", 2
    if _DEFINITION.fullmatch(line):
        return None, 1
    return _line(line, references), 1


def _is_paragraph(line: str) -> bool:
    marks = (_HEADING, _RULES, _ITEM, _QUOTE)
    return bool(line.strip()) and not any(mark.fullmatch(line) for mark in marks)


def _line(line: str, references: Mapping[str, str]) -> str:
    if not line.strip():
        return ""
    if _RULES.fullmatch(line):
        return _RULE
    if heading := _HEADING.fullmatch(line):
        return _heading(len(heading[1]), _untrailed(heading[2] or ""), references)
    if quote := _QUOTE.fullmatch(line):
        inner = quote[1]
        while within := _QUOTE.fullmatch(inner):
            inner = within[1]
        inner = _ALERT.sub(lambda found: f"**{found[1].capitalize()}** ", inner)
        return "\n".join(f"> {each}" for each in _line(inner, references).split("\n"))
    if item := _ITEM.fullmatch(line):
        return _item(item, references)
    told = inline(_FOOTNOTE.sub(r"[\1] ", line), references).rstrip()
    return told.expandtabs(4) if told[:1] == "\t" else told


def _untrailed(heading: str) -> str:
    """A heading without the marks that may stand at its end too."""
    text = heading.strip()
    short = text.rstrip("#")
    return short.rstrip() if short != text and (not short or short[-1] in " \t") else text


def _heading(level: int, text: str, references: Mapping[str, str]) -> str:
    if not text:
        return ""
    if level <= 3:
        return f"{'#' * level} {inline(text, references)}"
    inner = text.strip("* ").replace("**", "")
    return f"**{inline(inner, references)}**" if inner else ""


def _item(item: re.Match[str], references: Mapping[str, str]) -> str:
    indent = item[1].expandtabs(4)
    mark = f"{item[2]}." if item[2] else "-"
    box = {None: "", " ": "☐ "}.get(item[3], "☑ ")
    told = inline(item[4], references).rstrip()
    return f"{indent}{mark} {box}{told}" if box or told else f"{indent}{mark}"


def _fenced(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Blocks of code that follow each other."""
    block: list[Line] = []
    for line in lines:
        if line.kind is Kind.OPEN and block:
            yield block
            block = []
        block.append(line)
    yield block


def _code(block: Sequence[Line]) -> Iterator[str]:
    """A block of code, at the margin: Discord would show its indentation in a list as its own."""
    fence = block[0].fence
    assert fence is not None
    quote = "> " if fence.quotes else ""
    mark = block[0].text[len(fence.quotes) : block[0].text.index(fence.marker)].strip()
    if mark:
        yield f"{quote}{mark}"
    yield f"{quote}```{_language(fence.info)}"
    inner = [_bare(line.text, fence) for line in block[1:] if line.kind is Kind.CODE]
    if not any(map(str.strip, inner)):
        inner = [" "]
    for line in inner:
        yield quote + _THREE_TICKS.sub(f"`{ZERO_WIDTH}", line)
    yield f"{quote}```"


def _bare(line: str, fence: Fence) -> str:
    """A line of code without the quote and the indentation that its fence stands in."""
    rest = line.removeprefix(fence.quotes)
    indent = len(fence.indent)
    return rest[:indent].lstrip(" \t") + rest[indent:]


def _language(info: str) -> str:
    """The word that Discord takes for a language; anything else it would show."""
    words = info.strip().strip("{}").lstrip(".").split()
    return words[0].lower() if words and _LANGUAGE.fullmatch(words[0]) else ""
