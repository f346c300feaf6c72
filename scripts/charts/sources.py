"""The files of the chart that say what is decided elsewhere: definition, rights, some values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from repobridge_gateway import rbac as gateway_rbac
from repobridge_operator import rbac
from scripts.charts.policy_values import policy_values
from scripts.crds import definition

CHART = Path(__file__).parent.parent.parent / "charts" / "repobridge"
_RULES_HEAD = "# Written by `make manifests` from {}/rbac.py; change that.\n"


def sources() -> dict[Path, str]:
    """Each file with its text: Helm reads nothing outside of a chart's folder."""
    rules = {"served": rbac.served_rules(), "own": rbac.own_rules()}
    return {
        CHART / "files" / definition.FILE.name: definition.text(),
        CHART / "files" / "rules.yaml": _rules("operator/repobridge_operator", rules),
        CHART / "files" / "gateway-rules.yaml": _rules(
            "gateway/repobridge_gateway", {"served": gateway_rbac.served_rules()}
        ),
        CHART / "values.schema.json": _values_schema(),
    }


def _values_schema() -> str:
    """The schema as it is written by hand, but for what the gateway's settings decide."""
    written = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    written["properties"]["gateway"]["properties"] |= policy_values()
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"


def _rules(package: str, rules: Mapping[str, Any]) -> str:
    return _RULES_HEAD.format(package) + yaml.safe_dump(dict(rules), sort_keys=False)
