"""The files of the chart that say what is decided elsewhere: the definition, and the rights."""

from __future__ import annotations

from pathlib import Path

import yaml

from repobridge_operator import rbac
from scripts.crds import definition

CHART = Path(__file__).parent.parent.parent / "charts" / "repobridge"
_RULES_HEAD = (
    "# Written by `make manifests` from operator/repobridge_operator/rbac.py; change that.\n"
)


def sources() -> dict[Path, str]:
    """Each file with its text: Helm reads nothing outside of a chart's folder."""
    rules = {"served": rbac.served_rules(), "own": rbac.own_rules()}
    return {
        CHART / "files" / definition.FILE.name: definition.text(),
        CHART / "files" / "rules.yaml": _RULES_HEAD + yaml.safe_dump(rules, sort_keys=False),
    }
