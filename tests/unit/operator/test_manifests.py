"""What is applied for a bridge, as whole manifests.

`python -m tests.unit.operator.test_manifests` writes the golden files anew; look at the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from repobridge_operator.resources.network import make_network_policy
from repobridge_operator.resources.pod import make_pod
from repobridge_operator.resources.storage import make_claim
from tests.unit.operator.bridges import FULL, NETWORK, SETTINGS, bridge

GOLDEN = Path(__file__).parent / "golden"
_SPECS: dict[str, dict[str, Any]] = {"minimal": {}, "full": FULL}


def _manifests(name: str) -> dict[str, Any]:
    one = bridge(_SPECS[name])
    return {
        "pod": make_pod(one, settings=SETTINGS),
        "claim": make_claim(one, None),
        "policy": make_network_policy(one, settings=NETWORK),
    }


def _text(manifest: dict[str, Any]) -> str:
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)


@pytest.mark.parametrize("kind", ["pod", "claim", "policy"])
@pytest.mark.parametrize("name", sorted(_SPECS))
def test_a_manifest_is_as_its_golden_file_has_it(name: str, kind: str) -> None:
    expected = yaml.safe_load((GOLDEN / f"{name}-{kind}.yaml").read_text(encoding="utf-8"))
    assert _manifests(name)[kind] == expected


def write() -> None:
    for name in _SPECS:
        for kind, manifest in _manifests(name).items():
            (GOLDEN / f"{name}-{kind}.yaml").write_text(_text(manifest), encoding="utf-8")


if __name__ == "__main__":
    write()
