"""Long blocks of code of an answer as files of their own: a diff, a log, a whole source file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from repobridge_gateway.render import wording
from repobridge_gateway.render.fences import Fence, Kind, Line, scan
from repobridge_gateway.render.filenames import (
    media_type_of,
    numbered,
    safe_file_name,
    suffix_of,
)
from repobridge_gateway.render.inline import code
from repobridge_gateway.render.measure import units, well_formed
from repobridge_gateway.render.pieces import FILE_BYTES, File

LONG_UNITS = 1400
LONG_LINES = 40
MOST_TAKEN = 6
_LARGEST_UNITS = FILE_BYTES // 4
_NAMED = re.compile(r"(?:title|file(?:name)?)=[\"']?(?P<a>[\w./-]+)|:(?P<b>[\w./-]+\.\w+)")
_HINT = re.compile(r"`(?P<name>[\w./-]*\w\.[A-Za-z]\w{0,9})`[*_]*:?[*_]*\s*$")
_LOGS = frozenset({"", "log", "logs", "console", "output", "text", "txt", "plaintext"})


def take_out(markdown: str, *, taken: set[str]) -> tuple[str, tuple[File, ...]]:
    """The text with a line in the place of each long block of code, and these as files.

    `taken` are the names of other files; those of these are added.
    """
    lines = scan(well_formed(markdown))
    told: list[str] = []
    files: list[File] = []
    at = 0
    while at < len(lines):
        end = _end(lines, at)
        inner = lines[at + 1 : end]
        fence = lines[at].fence
        if lines[at].kind is not Kind.OPEN or fence is None or len(files) == MOST_TAKEN:
            told.append(lines[at].text)
            at += 1
            continue
        content = "\n".join(_bare(line.text, fence) for line in inner) + "\n"
        size = units(content)
        is_long = size > LONG_UNITS or len(inner) > LONG_LINES
        if not is_long or size > _LARGEST_UNITS:
            told += [line.text for line in lines[at : _next(lines, end)]]
        else:
            name = numbered(_name(fence, told), taken)
            files.append(File(name, media_type_of(name), content.encode()))
            told.append(f"-# {code(name)} · {wording.count(len(inner), 'line')}")
        at = _next(lines, end)
    return "\n".join(told), tuple(files)


def _end(lines: Sequence[Line], at: int) -> int:
    """Where the code ends that a line opens: at its closing line, or where its quote ends."""
    end = at + 1
    while end < len(lines) and lines[end].kind is Kind.CODE:
        end += 1
    return end


def _next(lines: Sequence[Line], end: int) -> int:
    return end + 1 if end < len(lines) and lines[end].kind is Kind.CLOSE else end


def _bare(line: str, fence: Fence) -> str:
    for prefix in (fence.quotes + fence.indent, fence.quotes, fence.quotes.rstrip()):
        if prefix and line.startswith(prefix):
            return line[len(prefix) :]
    return line


def _name(fence: Fence, before: Sequence[str]) -> str:
    language, _, rest = fence.info.strip().partition(" ")
    if named := _NAMED.search(f"{language} {rest}"):
        return safe_file_name(named["a"] or named["b"])
    language = language.lower()
    if language == "diff":
        return "changes.diff"
    last = next((line for line in reversed(before) if line.strip()), "")
    hint = _HINT.search(last[-200:])
    if hint is not None:
        return safe_file_name(hint["name"])
    if language in _LOGS:
        return "output.log"
    return f"code.{suffix_of(language)}"
