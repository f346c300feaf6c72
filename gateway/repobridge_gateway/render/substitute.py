"""What is sent in the place of a message that Discord does not take as it is.

A server's own filter may refuse a text, and a channel may take no files: what was said then comes
in the other form, once, with a line that says so.
"""

from __future__ import annotations

from dataclasses import replace

from repobridge_gateway.chat import Fault
from repobridge_gateway.render.filenames import media_type_of, numbered
from repobridge_gateway.render.inline import code as as_code
from repobridge_gateway.render.measure import is_blank, units, well_formed
from repobridge_gateway.render.pieces import MESSAGE_UNITS, MOST_FILES, File, Piece

FILTERED = frozenset({200000, 240000})
"""A server's filter, or Discord's own of harmful links, did not let a text through."""
TOO_LARGE = 40005
MISSING_PERMISSIONS = 50013
INVALID = 50035
NO_HISTORY = 160002
"""Who may not read a channel's history can't reply to what is in it."""
_AS_FILE = "-# Discord did not take this as a message, so it comes as a file."
_FILE_NAME = "message.md"


def substitute(piece: Piece, fault: Fault, code: int) -> Piece | None:
    """What to send once instead; None where nothing else would do."""
    if fault is Fault.FORBIDDEN:
        return _without_files(piece, _NO_FILES) if code == MISSING_PERMISSIONS else None
    if fault is not Fault.REJECTED:
        return None
    if code in {0, TOO_LARGE}:  # 0: a proxy's own refusal, which is of sizes
        return _without_files(piece, _LARGE_FILES)
    if code == NO_HISTORY:
        return replace(piece, reply_to="") if piece.reply_to else None
    as_file = _as_file(piece)
    return as_file if as_file is None or code in FILTERED else replace(as_file, reply_to="")


def forms(piece: Piece) -> tuple[Piece, ...]:
    """Everything that may stand in a channel once a piece was sent, as far as it can be read."""
    refusals = (
        (Fault.FORBIDDEN, MISSING_PERMISSIONS),
        (Fault.REJECTED, TOO_LARGE),
        *((Fault.REJECTED, code) for code in sorted(FILTERED)),
        (Fault.REJECTED, INVALID),
    )
    others = [substitute(piece, fault, code) for fault, code in refusals]
    return tuple(dict.fromkeys([piece, *(each for each in others if each is not None)]))


_NO_FILES = "The bot may not attach files here, so these are missing:"
_LARGE_FILES = "Discord did not take the files with this, as they are too large:"


def _without_files(piece: Piece, why: str) -> Piece | None:
    if not piece.files:
        return None
    names = ", ".join(as_code(file.name) for file in piece.files)
    for note in (f"-# {why} {names}", f"-# {why} {len(piece.files)}", ""):
        content = "\n".join(each for each in (piece.content, note) if not is_blank(each))
        if content and units(content) <= MESSAGE_UNITS:
            return replace(piece, content=content, files=())
    return None


def _as_file(piece: Piece) -> Piece | None:
    if is_blank(piece.content):
        return None
    taken = {file.name for file in piece.files}
    name = numbered(_FILE_NAME, taken)
    text = File(name, media_type_of(name), well_formed(piece.content).encode())
    return replace(piece, content=_AS_FILE, files=(text, *piece.files[: MOST_FILES - 1]))


__all__ = [
    "FILTERED", "INVALID", "MISSING_PERMISSIONS", "NO_HISTORY", "TOO_LARGE", "forms", "substitute",
]  # fmt: skip
