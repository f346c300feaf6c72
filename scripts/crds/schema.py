"""Structural schemas (OpenAPI v3, as Kubernetes takes it) from the models of the API."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import annotated_types as bounds
from pydantic.fields import FieldInfo

from repobridge.crd import Model
from repobridge.crd_base import IntOrString, ListMap, ListSet, Rule
from scripts.docs.docstrings import about, meanings

Schema = dict[str, Any]

_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
}
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}


def schema_of(model: type[Model]) -> Schema:
    """The schema of a model: its fields, what is required, and its rules."""
    hints = typing.get_type_hints(model, include_extras=True)
    told = meanings(model)
    properties = {
        alias(name, field): _property(hints[name], field, told.get(name, ""))
        for name, field in model.model_fields.items()
    }
    required = [
        alias(name, field) for name, field in model.model_fields.items() if field.is_required()
    ]
    schema: Schema = {"type": "object", "description": about(model), "properties": properties}
    if required:
        schema["required"] = required
    return schema | _validations(model.RULES)


def alias(name: str, field: FieldInfo) -> str:
    """How a field is called in YAML."""
    return field.alias or name


def _property(hint: Any, field: FieldInfo, meaning: str) -> Schema:
    schema = _schema(hint)
    if meaning:
        schema["description"] = " ".join(meaning.split())
    default = _default(field)
    return schema if default is None else {**schema, "default": default}


def _default(field: FieldInfo) -> Any:
    """What the API server fills in; nothing for what is empty by default."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    match value:
        case Model():
            return {}
        case Enum():
            return value.value
        case tuple() if value:
            return [each.value if isinstance(each, Enum) else each for each in value]
        case bool() | int() | float():
            return value
        case str() if value:
            return value
    return None


def _schema(hint: Any) -> Schema:
    base, marks = _taken_apart(hint)
    schema = _of_type(base)
    for mark in marks:
        _apply(mark, schema)
    return schema | _validations(tuple(mark for mark in marks if isinstance(mark, Rule)))


def _taken_apart(hint: Any) -> tuple[Any, list[Any]]:
    """The type itself, and all that is said about it, what is said innermost first."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        base, before = _taken_apart(inner)
        return base, before + [each for mark in marks for each in _unpacked(mark)]
    if get_origin(hint) in (UnionType, typing.Union):
        members = [each for each in get_args(hint) if each is not NoneType]
        return _taken_apart(members[0]) if len(members) == 1 else (tuple(members), [])
    return hint, []


def _unpacked(mark: Any) -> Iterator[Any]:
    yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)


def _of_type(base: Any) -> Schema:
    if base in _SCALARS:
        return dict(_SCALARS[base])
    if base == (int, str):
        return {}  # what IntOrString says is all there is
    origin, inner = get_origin(base), get_args(base)
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(inner[1])}
    if issubclass(base, Enum):
        return {"type": "string", "enum": [each.value for each in base]}
    assert issubclass(base, Model), base
    return schema_of(base)


def _apply(mark: Any, schema: Schema) -> None:
    match mark:
        case bounds.MinLen(min_length=length):
            schema[_LENGTHS[schema["type"]][0]] = length
        case bounds.MaxLen(max_length=length):
            schema[_LENGTHS[schema.get("type", "string")][1]] = length
        case bounds.Ge(ge=limit):
            schema["minimum"] = limit
        case bounds.Gt(gt=limit):
            schema |= {"minimum": limit, "exclusiveMinimum": True}
        case bounds.Le(le=limit):
            schema["maximum"] = limit
        case IntOrString(length=length):
            schema.pop("type", None)
            schema |= {"x-kubernetes-int-or-string": True, "maxLength": length}
        case _ if pattern := getattr(mark, "pattern", None):
            schema["pattern"] = pattern
        case ListMap(key=key):
            schema |= {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": [key],
            }
        case ListSet():
            schema["x-kubernetes-list-type"] = "set"


def _validations(rules: tuple[Rule, ...]) -> Schema:
    if not rules:
        return {}
    written = [{"rule": rule.cel, "message": rule.message} for rule in rules]
    return {"x-kubernetes-validations": written}
