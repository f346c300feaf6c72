"""The largest spec that the definition takes: every list full, every text as long as it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repobridge.crd_base import LONGEST_KEY
from repobridge.crd_network import MOST_PEERS

Schema = Mapping[str, Any]
_PREFIX = "b" * (LONGEST_KEY - 64)
# Of these only one may be given: the others are left out.
_LEFT_OUT: Mapping[str, set[str]] = {
    "workspace": {"existingClaim"},
    "agent": {"command"},
    "env": {"valueFrom"},
    "access": {"userId"},
    "extraVolumes": {"configMap", "secret", "emptyDir", "persistentVolumeClaim"},
    "to": {"ipBlock"},
    "ports": {"endPort"},
}
_WHOLE: Mapping[str, Any] = {
    "type": "chat",
    "size": "100000000000000.000000001",
    "memoryPerSession": "100000000000000.000000001",
    "port": "https-is-a-port",
}
_BEGINS = {"url": "https://h/", "baseUrl": "https://h/", "mountPath": "/"}
_DURATIONS = {"idleTimeout", "maxAwake", "drainTimeout", "per", "period"}


def largest(schema: Schema, name: str = "spec", index: int = 0) -> Any:
    """The largest value at a place; `index` tells it from its neighbours in a list."""
    if name in _WHOLE:
        return _WHOLE[name]
    match schema.get("type"):
        case "object":
            return _object(schema, name, index)
        case "array":
            return _list(schema, name)
        case "string":
            return _text(schema, name, index)
        case None:
            return "1" * 15 + ".000000001"
    return False if schema["type"] == "boolean" else schema.get("maximum", (1 << 53) - 1)


def _object(schema: Schema, name: str, index: int) -> dict[str, Any]:
    if "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        return {_key(i): largest(inner, "", i) for i in range(schema["maxProperties"])}
    fields = schema["properties"].items()
    left_out = _LEFT_OUT.get(name, set())
    return {key: largest(each, key, index) for key, each in fields if key not in left_out}


def _list(schema: Schema, name: str) -> list[Any]:
    items = [largest(schema["items"], name, i) for i in range(schema["maxItems"])]
    if name == "egress":
        # Peers are counted for all rules together.
        peers = largest(schema["items"]["properties"]["to"], "to")[:MOST_PEERS]
        items = [rule | {"to": []} for rule in items]
        items[0] = items[0] | {"to": peers}
    return items


def _key(index: int) -> str:
    return f"{_PREFIX}/{index:03}".ljust(LONGEST_KEY, "k")


def _text(schema: Schema, name: str, index: int) -> str:
    if "enum" in schema:
        choices: list[str] = schema["enum"]
        return "In" if "In" in choices else choices[index % len(choices)]
    length: int = schema["maxLength"]
    if name in {"channelId", "roleId"}:
        return "1" * length
    if name in _DURATIONS:
        return "00010.000m00010.000m00010.000m"
    if name in {"topologyKey", "key"}:
        return _key(index)[:length] if length == LONGEST_KEY else "k" * length
    return f"{_BEGINS.get(name, '')}a{index:03}".ljust(length, "a")
