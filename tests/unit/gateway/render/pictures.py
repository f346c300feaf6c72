"""Messages as text that people can read, and the golden files that hold them.

`WRITE_PICTURES=1` in the environment of the tests writes the files anew; look at the difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from repobridge_gateway.render.pieces import Button, Piece, Row

GOLDEN = Path(__file__).parent / "golden"


def picture(pieces: Iterable[Piece]) -> str:
    """Every part of the messages that somebody sees."""
    return "\n\n==== next message ====\n\n".join(map(_one, pieces)) + "\n"


def _one(piece: Piece) -> str:
    reply = [f"(in reply to {piece.reply_to})"] if piece.reply_to else []
    files = [
        f"[file {file.name}, {file.media_type}]\n{file.data.decode('utf-8', 'replace').rstrip()}"
        for file in piece.files
    ]
    return "\n".join([*reply, piece.content, *map(_row, piece.components), *files])


def _row(row: Row) -> str:
    return "  ".join(
        f"[{item.label}: {item.style.name.lower()} {item.custom_id}]"
        if isinstance(item, Button)
        else f"[{item.placeholder} ▾ {item.custom_id} {item.min_values}-{item.max_values}: "
        + " | ".join(f"{'*' if o.default else ''}{o.label} ({o.description})" for o in item.options)
        + "]"
        for item in row.items
    )


def assert_is_golden(name: str, text: str) -> None:
    """Fails where a golden file holds another picture."""
    path = GOLDEN / f"{name}.md"
    if os.environ.get("WRITE_PICTURES"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
