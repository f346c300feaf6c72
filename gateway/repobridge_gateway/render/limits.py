"""The one place that knows what Discord refuses in a message or a modal."""

from __future__ import annotations

import re
from collections.abc import Iterable

from repobridge.errors import RepoBridgeError
from repobridge_gateway.render import pieces
from repobridge_gateway.render.measure import is_blank, units
from repobridge_gateway.render.pieces import Button, File, Modal, Piece, Row, Select, TextInput

_SNOWFLAKE = re.compile(r"[0-9]{1,20}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Unsendable(RepoBridgeError):
    """A message that Discord would refuse; the text says what in it, and why."""


def check(piece: Piece) -> Piece:
    """The piece itself; raises Unsendable where Discord would refuse it."""
    _text("the content", piece.content, pieces.MESSAGE_UNITS)
    if is_blank(piece.content) and not piece.files:
        raise Unsendable("nothing in the message is seen")
    if piece.reply_to and not _SNOWFLAKE.fullmatch(piece.reply_to):
        raise Unsendable(f"{piece.reply_to!r} is no message to reply to")
    _count("files", len(piece.files), pieces.MOST_FILES)
    for file in piece.files:
        _file(file)
    if sum(len(file.data) for file in piece.files) > pieces.MESSAGE_BYTES:
        raise Unsendable(f"the files have more than {pieces.MESSAGE_BYTES} bytes together")
    _different("files", (file.name for file in piece.files))
    _count("rows", len(piece.components), pieces.MOST_ROWS)
    for row in piece.components:
        _row(row)
    _different("custom_id", (item.custom_id for row in piece.components for item in row.items))
    return piece


def check_modal(modal: Modal) -> Modal:
    """The modal itself; raises Unsendable where Discord would refuse it."""
    _said("the modal's title", modal.title, pieces.MODAL_TITLE_UNITS)
    _custom_id(modal.custom_id)
    _count("inputs", len(modal.inputs), pieces.MOST_MODAL_FIELDS, least=1)
    for field in modal.inputs:
        _input(field)
    _different("custom_id", (field.custom_id for field in modal.inputs))
    return modal


def _file(file: File) -> None:
    if len(file.data) > pieces.FILE_BYTES:
        raise Unsendable(f"{file.name} has {len(file.data)} bytes of {pieces.FILE_BYTES}")
    _text("a file's name", file.name, pieces.FILE_NAME_UNITS)
    if not _FILE_NAME.fullmatch(file.name):
        raise Unsendable(f"{file.name!r} is no name that Discord would leave as it is")


def _row(row: Row) -> None:
    selects = [item for item in row.items if isinstance(item, Select)]
    if selects and len(row.items) > 1:
        raise Unsendable("a select needs a row for itself")
    _count("buttons in a row", len(row.items), pieces.MOST_BUTTONS, least=1)
    for item in row.items:
        _custom_id(item.custom_id)
        if isinstance(item, Button):
            _said("a button's label", item.label, pieces.LABEL_UNITS)
        else:
            _select(item)


def _select(select: Select) -> None:
    _count("options", len(select.options), pieces.MOST_OPTIONS, least=1)
    _text("a placeholder", select.placeholder, pieces.PLACEHOLDER_UNITS)
    for option in select.options:
        _said("an option's label", option.label, pieces.OPTION_UNITS)
        _said("an option's value", option.value, pieces.OPTION_UNITS)
        _text("an option's description", option.description, pieces.OPTION_UNITS)
    _different("options", (option.value for option in select.options))
    defaults = sum(option.default for option in select.options)
    if not 0 <= select.min_values <= select.max_values <= len(select.options):
        raise Unsendable(f"{select.min_values} to {select.max_values} of {len(select.options)}")
    if select.max_values < max(1, defaults):
        raise Unsendable(f"{defaults} chosen of at most {select.max_values}")


def _input(field: TextInput) -> None:
    _custom_id(field.custom_id)
    _said("a label", field.label, pieces.MODAL_LABEL_UNITS)
    _text("a description", field.description, pieces.MODAL_DESCRIPTION_UNITS)
    _text("a placeholder", field.placeholder, pieces.MODAL_PLACEHOLDER_UNITS)
    if not 1 <= field.max_units <= pieces.TEXT_INPUT_UNITS:
        raise Unsendable(f"an input of {field.max_units} units")
    _text("a value", field.value, field.max_units)


def _custom_id(custom_id: str) -> None:
    _said("a custom_id", custom_id, pieces.CUSTOM_ID_UNITS)


def _said(what: str, text: str, most: int) -> None:
    if is_blank(text):
        raise Unsendable(f"{what} is empty")
    _text(what, text, most)


def _text(what: str, text: str, most: int) -> None:
    if _SURROGATE.search(text):
        raise Unsendable(f"{what} holds a lone surrogate")
    if units(text) > most:
        raise Unsendable(f"{what} has {units(text)} units of {most}")


def _count(what: str, count: int, most: int, *, least: int = 0) -> None:
    if not least <= count <= most:
        raise Unsendable(f"{count} {what}, of {least} to {most}")


def _different(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Unsendable(f"two {what} are {name!r}")
        seen.add(name)
