"""The keys of access and limits, in the settings of a cluster's gateway and of one machine."""

from __future__ import annotations

from collections.abc import Mapping

from repobridge.crd_base import Model
from repobridge_gateway.policy_settings import AccessSettings, GuildSettings, PolicySettings
from scripts.crds.schema import alias, schema_of
from scripts.docs.api import default_of, value_of
from scripts.docs.docstrings import about, meanings
from scripts.docs.tables import code, table

_HEADINGS = ("Key", "Value", "Default", "Meaning")
_ELSEWHERE: Mapping[str, str] = {
    "access": "list of at most 100 [`access[]`](#access)",
    "guilds": "mapping of ids to [`guilds.ID`](#guildsid)",
    "limits": "as [`spec.limits`](api.md#speclimits)",
}


def text() -> str:
    """A table of what stands beside each other, and one for each thing in it."""
    told = meanings(PolicySettings)
    whole = [(code(name), _ELSEWHERE[name], "", told[name]) for name in PolicySettings.model_fields]
    parts = [table(_HEADINGS, whole)]
    parts += [_section("access[]", AccessSettings), _section("guilds.ID", GuildSettings)]
    return "\n\n".join(parts)


def _section(path: str, model: type[Model]) -> str:
    properties = schema_of(model)["properties"]
    rows = []
    for name, field in model.model_fields.items():
        schema = properties[alias(name, field)]
        value = _ELSEWHERE.get(name) or value_of(schema)
        meaning = schema.get("description", "")
        rows.append((code(alias(name, field)), value, default_of(schema), meaning))
    parts = [f"### `{path}`", about(model), table(_HEADINGS, rows)]
    parts += [f"- {rule.message}" for rule in model.RULES]
    return "\n\n".join(parts)
