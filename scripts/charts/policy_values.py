"""The part of the chart's values schema that the gateway's own settings decide: access and limits.

As JSON Schema, which Helm checks before anything is installed; what only the gateway can tell, it
tells when it starts.
"""

from __future__ import annotations

import re
from typing import Any

from repobridge.crd_base import Model
from repobridge_gateway.policy_settings import (
    AccessSettings,
    GuildSettings,
    LimitsSettings,
    PolicySettings,
)
from scripts.crds.schema import Schema, schema_of
from scripts.docs.docstrings import meanings

_PATTERN = re.compile(r"self\.matches\(r'(?P<pattern>[^']+)'\)")
_HAS = re.compile(r"has\(self\.(\w+)\)")
_ANY_OF = re.compile(rf"{_HAS.pattern}(?: \|\| {_HAS.pattern})+")
_ONE_OF = re.compile(rf"\[{_HAS.pattern}(?:, {_HAS.pattern})+\]\.filter\(it, it\)\.size\(\) == 1")


def policy_values() -> dict[str, Schema]:
    """The schema of each value of the chart that says who may do what, and how much."""
    told = {name: " ".join(words.split()) for name, words in meanings(PolicySettings).items()}
    access: Schema = {"type": "array", "items": _of(AccessSettings), "maxItems": 100}
    guilds: Schema = {
        "type": "object",
        "maxProperties": 2500,
        "patternProperties": {"^[1-9][0-9]{14,19}$": _of(GuildSettings)},
        "additionalProperties": False,
    }
    limits: Schema = {"type": "object", "allOf": [_of(LimitsSettings)]}
    schemas = {"access": access, "limits": limits, "guilds": guilds}
    return {name: {"description": told[name], **schema} for name, schema in schemas.items()}


def _of(model: type[Model]) -> Schema:
    translated: Schema = _translated(schema_of(model))
    return translated


def _translated(schema: Any) -> Any:
    """A structural schema as JSON Schema: strict, and without what only an API server obeys."""
    if not isinstance(schema, dict):
        return schema
    made = {
        name: {key: _translated(each) for key, each in value.items()}
        if name == "properties"
        else _translated(value)
        for name, value in schema.items()
        if not name.startswith("x-kubernetes-") and name not in {"default", "format"}
    }
    for rule in schema.get("x-kubernetes-validations", ()):
        made |= _checked(rule["rule"])
    if schema.get("x-kubernetes-list-type") == "set":
        made["uniqueItems"] = True
    if made.pop("exclusiveMinimum", False):
        made["exclusiveMinimum"] = made.pop("minimum")
    if "properties" in made:
        made["additionalProperties"] = False
    return made


def _checked(rule: str) -> Schema:
    """What JSON Schema can say of a rule; nothing of the others."""
    if found := _PATTERN.fullmatch(rule):
        return {"pattern": found["pattern"]}
    for word, form in (("anyOf", _ANY_OF), ("oneOf", _ONE_OF)):
        if form.fullmatch(rule):
            return {word: [{"required": [name]} for name in _HAS.findall(rule)]}
    return {}
