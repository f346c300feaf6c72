"""What a session has changed in its repository, as a message: the counts, the files, the patch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repobridge_gateway.render import wording
from repobridge_gateway.render.asked_input import visible
from repobridge_gateway.render.filenames import safe_file_name
from repobridge_gateway.render.inline import code
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.measure import shortened, units, well_formed
from repobridge_gateway.render.pieces import FILE_BYTES, MESSAGE_UNITS, File, Piece

MOST_FILES_NAMED = 12
_NAME_UNITS = 90
_HEADER = re.compile(r'diff --git (?:"?a/.*"?) (?:"b/(?P<quoted>.*)"|b/(?P<name>.*))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """A difference as the runner told it; `is_cut` where the patch is not all of it."""

    unified: str
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    branch: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class FileStat:
    """What changed in a file."""

    name: str
    insertions: int
    deletions: int


def render_diff(diff: Diff, *, reply_to: str = "") -> Piece:
    """The message; the patch stands in it where it is short, else it is a file."""
    branch = f" on {_name(diff.branch)}" if diff.branch else ""
    if not diff.files and not diff.unified.strip():
        return Piece(f"{wording.DONE} Nothing has been changed{branch}.", reply_to=reply_to)
    counts = f"+{diff.insertions:,} −{diff.deletions:,}"
    lines = [f"**{wording.count(diff.files, 'file')}** changed{branch} · {counts}"]
    stats = stat(diff.unified)
    lines += [
        f"-# {_name(each.name)} +{each.insertions} −{each.deletions}"
        for each in stats[:MOST_FILES_NAMED]
    ]
    if len(stats) > MOST_FILES_NAMED:
        lines.append(f"-# … and {wording.count(len(stats) - MOST_FILES_NAMED, 'more file')}")
    head = "\n".join(lines)
    patch = well_formed(diff.unified).rstrip("\n")
    inline = f"{head}\n```diff\n{visible(patch)}\n```"
    is_short = len(patch) < MESSAGE_UNITS and units(inline) <= MESSAGE_UNITS
    if is_short and "```" not in patch and not diff.is_cut:
        return check(Piece(inline, reply_to=reply_to))
    data = f"{patch}\n".encode()
    is_cut = diff.is_cut or len(data) > FILE_BYTES
    if is_cut:
        head += "\n-# The file holds the first part; the whole is too large for Discord."
    name = safe_file_name(f"{diff.branch or 'changes'}.diff".replace("/", "-"))
    file = File(name, "text/x-diff", _first_lines(data))
    return check(Piece(head, (file,), reply_to=reply_to))


def stat(unified: str) -> Sequence[FileStat]:
    """The files of a patch, and what changed in each."""
    stats: list[FileStat] = []
    name, insertions, deletions, in_hunk = "", 0, 0, False
    for line in unified.split("\n"):
        if line.startswith("diff --git "):
            if name:
                stats.append(FileStat(name, insertions, deletions))
            found = _HEADER.fullmatch(line)
            name = (found["quoted"] or found["name"]) if found else line[11:]
            insertions, deletions, in_hunk = 0, 0, False
        elif line.startswith("@@"):
            in_hunk = True
        elif in_hunk:
            insertions += line.startswith("+")
            deletions += line.startswith("-")
    return [*stats, FileStat(name, insertions, deletions)] if name else stats


def _name(name: str) -> str:
    return code(shortened(visible(name), _NAME_UNITS))


def _first_lines(data: bytes) -> bytes:
    return data if len(data) <= FILE_BYTES else data[: data.rindex(b"\n", 0, FILE_BYTES) + 1]
