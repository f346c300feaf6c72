"""The fields of a RepoBridge and what is told about it, from the models themselves."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from typing import Any, get_args

from repobridge.conditions import SENTENCES
from repobridge.crd import Model, RepoBridgeSpec, RepoBridgeStatus
from scripts.crds.schema import Schema, alias, schema_of
from scripts.docs.docstrings import about
from scripts.docs.tables import code, table

_KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false"}


def spec() -> str:
    """Every field of the spec, a table for each object in it."""
    return _sections("spec", RepoBridgeSpec)


def status() -> str:
    """Every field of the status."""
    return _sections("status", RepoBridgeStatus)


def reasons() -> str:
    """Every reason of a condition, and what it tells."""
    rows = ((code(reason.value), words) for reason, words in sorted(SENTENCES.items()))
    return table(("Reason", "What people read"), rows)


def _sections(path: str, model: type[Model]) -> str:
    # A model that stands in several places is told at the one that is nearest to the top.
    places: dict[type[Model], str] = {}
    for where, each in sorted(_walked(path, model), key=lambda found: found[0].count(".")):
        places.setdefault(each, where)
    told = [
        _section(where, each, places)
        for where, each in _walked(path, model)
        if places[each] == where
    ]
    return "\n\n".join(told)


def _walked(path: str, model: type[Model]) -> Iterator[tuple[str, type[Model]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner, brackets = _model_in(field.annotation)
        if inner is not None:
            yield from _walked(f"{path}.{alias(name, field)}{brackets}", inner)


def _model_in(annotation: Any) -> tuple[type[Model] | None, str]:
    """The model of a field, if it has one, with `[]` for one that is in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation, ""
    for each in get_args(annotation):
        inner, brackets = _model_in(each)
        if inner is not None:
            return inner, "[]" if typing.get_origin(annotation) is tuple else brackets
    return None, ""


def _section(path: str, model: type[Model], places: dict[type[Model], str]) -> str:
    schema = schema_of(model)
    rows = []
    for name, field in model.model_fields.items():
        key = alias(name, field)
        inner, _ = _model_in(field.annotation)
        one = schema["properties"][key]
        value = _linked(one, places[inner]) if inner else value_of(one)
        required = key in schema.get("required", ())
        default = "(must be given)" if required else default_of(one)
        meaning = one["description"] if inner else _meaning(one)
        rows.append((code(key), value, default, meaning))
    parts = [f"### `{path}`", about(model)]
    parts.append(table(("Field", "Value", "Default", "Meaning"), rows))
    if model.RULES:
        parts.append("What else is refused, in these words:")
        parts.append("\n".join(f"- {rule.message}" for rule in model.RULES))
    return "\n\n".join(parts)


def _linked(schema: Schema, place: str) -> str:
    anchor = re.sub(r"[^\w\- ]", "", place.lower())
    link = f"[{code(place)}](#{anchor})"
    return f"list of {_at_most(schema, 'Items')}{link}" if schema["type"] == "array" else link


def value_of(schema: Schema) -> str:
    """What may be written, as its schema says it."""
    if "x-kubernetes-int-or-string" in schema:
        return "whole number or text"
    match schema["type"]:
        case "array":
            return f"list of {_at_most(schema, 'Items')}{_several(schema['items'])}"
        case "object":
            entries = _several(schema["additionalProperties"])
            return f"mapping of {_at_most(schema, 'Properties')}names to {entries}"
        case "string":
            return _text(schema)
        case kind:
            return f"{_KINDS[kind]}{_range(schema)}"


def _several(schema: Schema) -> str:
    return re.sub("^text", "texts", value_of(schema))


def _text(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(code(choice) for choice in schema["enum"])
    if schema.get("format") == "date-time":
        return "time"
    return f"text of {_at_most(schema, 'Length')}characters"


def _at_most(schema: Schema, what: str) -> str:
    bound = schema.get(f"max{what}")
    return f"at most {bound:,} ".replace(",", " ") if bound else ""


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above = "above" if schema.get("exclusiveMinimum") else "from"
    parts = [f" {above} {least:,}".replace(",", " ")] if least is not None else []
    if most is not None:
        parts.append(f" to {most:,}".replace(",", " "))
    return "".join(parts)


def default_of(schema: Schema) -> str:
    """What holds where nothing is written."""
    value = schema.get("default")
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return code(str(value).lower())
    return ", ".join(code(str(each)) for each in (value if isinstance(value, list) else [value]))


def _meaning(schema: Schema) -> str:
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]
    musts = [f" It {message}." for message in rules if message.startswith("must")]
    return f"{schema.get('description', '')}{''.join(musts)}"
