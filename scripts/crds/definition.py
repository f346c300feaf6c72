"""The CustomResourceDefinition as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from repobridge import crd
from repobridge.crd import RepoBridge, RepoBridgeSpec, RepoBridgeStatus
from scripts.crds.schema import schema_of
from scripts.docs.docstrings import about

FILE = Path(__file__).parent.parent.parent / "crds" / f"{crd.GROUP}_{crd.PLURAL}.yaml"
_HEAD = "# Written by `make crds` from core/repobridge/crd.py; change that.\n"
_COLUMNS = (
    ("Phase", "string", ".status.phase", "Where the bridge stands"),
    (
        "Ready",
        "string",
        '.status.conditions[?(@.type=="Ready")].reason',
        "Why the runner serves, or does not",
    ),
    ("Sessions", "integer", ".status.sessions", "How many sessions are live"),
    ("Channel", "string", ".spec.discord.channelId", "The Discord channel"),
    ("Last Active", "date", ".status.lastActivityTime", "When somebody last wanted something"),
    ("Age", "date", ".metadata.creationTimestamp", "When the bridge was made"),
)


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition of RepoBridge."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{crd.PLURAL}.{crd.GROUP}"},
        "spec": {
            "group": crd.GROUP,
            "names": {
                "kind": crd.KIND,
                "listKind": f"{crd.KIND}List",
                "plural": crd.PLURAL,
                "singular": crd.SINGULAR,
                "shortNames": [crd.SHORT_NAME],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": crd.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "description": told}
            for name, kind, path, told in _COLUMNS
        ],
    }


def _object() -> dict[str, Any]:
    return {
        "type": "object",
        "description": about(RepoBridge),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{crd.API_VERSION}"},
            "kind": {"type": "string", "description": crd.KIND},
            "metadata": {"type": "object"},
            "spec": schema_of(RepoBridgeSpec),
            "status": schema_of(RepoBridgeStatus),
        },
    }


def text() -> str:
    """The file as it is committed."""
    return _HEAD + yaml.dump(
        definition(), Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True
    )


class _Plain(yaml.SafeDumper):
    """Writes the same thing twice rather than an anchor, which kubectl's readers may not know."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is an alias."""
        return True
