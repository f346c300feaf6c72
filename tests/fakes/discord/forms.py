"""Forms as a person fills them in: checked field by field, as the client does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tests.fakes.discord.components import CHECKBOX, LABEL, RADIOS, TEXT_INPUT
from tests.fakes.discord.model import Json
from tests.fakes.discord.seen import SeenInput

Value: TypeAlias = str | bool | Sequence[str] | None


class Forbidden(Exception):
    """The client does not offer that."""


def filled(row: Json, inputs: Mapping[str, SeenInput], values: Mapping[str, Value]) -> Json:
    """A row of a form with what was filled in."""
    told: Json = {"type": row["type"], "id": row["id"]}
    if row["type"] == LABEL:
        return told | {"component": _value_of(row["component"], inputs, values)}
    if "components" in row:
        return told | {
            "components": [_value_of(item, inputs, values) for item in row["components"]]
        }
    return told


def _value_of(item: Json, inputs: Mapping[str, SeenInput], values: Mapping[str, Value]) -> Json:
    custom_id = item["custom_id"]
    told: Json = {"type": item["type"], "id": item["id"], "custom_id": custom_id}
    shown, value = inputs[custom_id], values.get(custom_id, inputs[custom_id].value)
    if item["type"] == CHECKBOX:
        return told | {"value": bool(value)}
    if not value:
        if shown.is_required:
            raise Forbidden(f"{shown.label!r} is required")
        empty: Json = {"value": ""} if item["type"] == TEXT_INPUT else {"values": []}
        return told | ({"value": None} if item["type"] == RADIOS else empty)
    if item["type"] == TEXT_INPUT:
        text = str(value)
        if not shown.min_length <= len(text) <= shown.max_length:
            raise Forbidden(f"{shown.label!r} has the wrong length")
        return told | {"value": text}
    chosen = [value] if isinstance(value, str) else list(value) if value is not True else []
    if shown.options and not set(chosen) <= set(shown.options):
        raise Forbidden(f"{shown.label!r} has only {sorted(shown.options)}")
    if item["type"] == RADIOS:
        return told | {"value": chosen[0]}
    if not shown.min_values <= len(chosen) <= shown.max_values:
        raise Forbidden(f"{shown.label!r}: {shown.min_values} to {shown.max_values} can be chosen")
    return told | {"values": chosen}
