"""What a message for Discord consists of, as plain values; and the limits that it has to keep.

A piece is stored before it is sent, and sent as it was stored: `to_json` and `from_json` lose
nothing, and `check` refuses what Discord would refuse, so that nothing unsendable is ever stored.
The content of files is kept apart from the JSON, in the order of the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from repobridge_gateway.render.split import MESSAGE_UNITS

MOST_FILES = 10
FILE_BYTES = 10 << 20
"""Of one file, in a guild without boosts."""
MESSAGE_BYTES = 24 << 20
"""Of all files of a message, and room for the rest of its request."""
MOST_ROWS = 5
MOST_BUTTONS = 5
MOST_OPTIONS = 25
CUSTOM_ID_UNITS = 100
LABEL_UNITS = 80
OPTION_UNITS = 100
PLACEHOLDER_UNITS = 150
FILE_NAME_UNITS = 100
MODAL_TITLE_UNITS = 45
MODAL_LABEL_UNITS = 45
MODAL_DESCRIPTION_UNITS = 100
MODAL_PLACEHOLDER_UNITS = 100
MOST_MODAL_FIELDS = 5
TEXT_INPUT_UNITS = 4000


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes with a message."""

    name: str
    media_type: str
    data: bytes


class ButtonStyle(Enum):
    """What a button looks like; the values are Discord's."""

    PRIMARY = 1
    SECONDARY = 2
    SUCCESS = 3
    DANGER = 4


@dataclass(frozen=True, slots=True)
class Button:
    """Something to click."""

    label: str
    custom_id: str
    style: ButtonStyle = ButtonStyle.SECONDARY
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One entry of a select."""

    label: str
    value: str
    description: str = ""
    default: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """A list to choose from; it takes a row for itself."""

    custom_id: str
    options: tuple[Option, ...]
    placeholder: str = ""
    min_values: int = 1
    max_values: int = 1
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Up to five buttons, or one select."""

    items: tuple[Button, ...] | tuple[Select]


@dataclass(frozen=True, slots=True)
class Piece:
    """One message."""

    content: str = ""
    files: tuple[File, ...] = ()
    components: tuple[Row, ...] = ()
    reply_to: str = ""
    """The id of the message that it answers; empty: none."""
    suppress_embeds: bool = True


@dataclass(frozen=True, slots=True)
class TextInput:
    """A field of a modal to write in."""

    custom_id: str
    label: str
    description: str = ""
    placeholder: str = ""
    value: str = ""
    is_long: bool = True
    required: bool = True
    max_units: int = TEXT_INPUT_UNITS


@dataclass(frozen=True, slots=True)
class Modal:
    """A form that opens at a click."""

    custom_id: str
    title: str
    inputs: tuple[TextInput, ...]


def nonce(turn_id: str, index: int, *, content: str) -> str:
    """What lets Discord recognise a piece that is sent again: 24 hexadecimal digits."""
    what = json.dumps([turn_id, index, content])
    return hashlib.sha256(what.encode()).hexdigest()[:24]


def to_json(piece: Piece) -> str:
    """A piece without the content of its files."""
    return json.dumps(
        {
            "content": piece.content,
            "files": [
                {
                    "name": file.name,
                    "media_type": file.media_type,
                    "sha256": hashlib.sha256(file.data).hexdigest(),
                }
                for file in piece.files
            ],
            "components": [[_item_to_json(item) for item in row.items] for row in piece.components],
            "reply_to": piece.reply_to,
            "suppress_embeds": piece.suppress_embeds,
        }
    )


def from_json(text: str, blobs: Sequence[bytes]) -> Piece:
    """The piece that `to_json` told, with its files' content; ValueError where they differ."""
    raw = json.loads(text)
    files = tuple(
        File(str(file["name"]), str(file["media_type"]), data)
        for file, data in zip(raw["files"], blobs, strict=True)
    )
    for file, told in zip(files, raw["files"], strict=True):
        if hashlib.sha256(file.data).hexdigest() != told["sha256"]:
            raise ValueError(f"the content kept for {file.name} is not what it was")
    return Piece(
        content=str(raw["content"]),
        files=files,
        components=tuple(Row(tuple(map(_item_from_json, row))) for row in raw["components"]),
        reply_to=str(raw["reply_to"]),
        suppress_embeds=bool(raw["suppress_embeds"]),
    )


def _item_to_json(item: Button | Select) -> dict[str, Any]:
    if isinstance(item, Button):
        return {
            "button": item.label,
            "custom_id": item.custom_id,
            "style": item.style.value,
            "disabled": item.disabled,
        }
    return {
        "select": [
            [option.label, option.value, option.description, option.default]
            for option in item.options
        ],
        "custom_id": item.custom_id,
        "placeholder": item.placeholder,
        "values": [item.min_values, item.max_values],
        "disabled": item.disabled,
    }


def _item_from_json(raw: dict[str, Any]) -> Any:
    if "button" in raw:
        style = ButtonStyle(raw["style"])
        return Button(raw["button"], raw["custom_id"], style, raw["disabled"])
    least, most = raw["values"]
    return Select(
        raw["custom_id"],
        tuple(Option(*option) for option in raw["select"]),
        raw["placeholder"],
        least,
        most,
        raw["disabled"],
    )


__all__ = [
    "CUSTOM_ID_UNITS", "FILE_BYTES", "FILE_NAME_UNITS", "LABEL_UNITS", "MESSAGE_BYTES",
    "MESSAGE_UNITS", "MODAL_DESCRIPTION_UNITS", "MODAL_LABEL_UNITS", "MODAL_PLACEHOLDER_UNITS",
    "MODAL_TITLE_UNITS", "MOST_BUTTONS", "MOST_FILES", "MOST_MODAL_FIELDS", "MOST_OPTIONS",
    "MOST_ROWS", "OPTION_UNITS", "PLACEHOLDER_UNITS", "TEXT_INPUT_UNITS", "Button", "ButtonStyle",
    "File", "Modal", "Option", "Piece", "Row", "Select", "TextInput", "from_json", "nonce",
    "to_json",
]  # fmt: skip
