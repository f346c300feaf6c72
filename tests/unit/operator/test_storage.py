"""A workspace's claim only grows, keeps what can't change, and is owned as the spec says."""

from __future__ import annotations

from typing import Any

import pytest

from repobridge_operator.resources import naming
from repobridge_operator.resources.storage import claim_is_foreign, make_claim
from tests.unit.operator.bridges import UID, bridge


def _present(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": naming.labels("payments", UID)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}},
            "storageClassName": "standard",
            "volumeName": "pvc-8f21",
            **spec,
        },
        "status": {"phase": "Bound"},
    }


def _claim(workspace: dict[str, Any], present: dict[str, Any] | None) -> dict[str, Any]:
    claim = make_claim(bridge({"workspace": workspace}), present)
    assert claim is not None
    return claim


@pytest.mark.parametrize(
    ("size", "present", "expected"),
    [
        ("10Gi", None, "10Gi"),
        ("20Gi", "10Gi", "20Gi"),
        ("10Gi", "20Gi", "20Gi"),
        ("10Gi", "10240Mi", "10240Mi"),
        ("10Gi", "10737418240", "10737418240"),
        ("1.5Gi", None, "1536Mi"),
    ],
)
def test_a_claim_only_grows(size: str, present: str | None, expected: str) -> None:
    found = _present(resources={"requests": {"storage": present}}) if present else None
    assert _claim({"size": size}, found)["spec"]["resources"] == {"requests": {"storage": expected}}


def test_a_claim_without_a_volume_stays_as_it_is() -> None:
    pending = _present() | {"status": {"phase": "Pending"}}
    assert _claim({"size": "20Gi"}, pending)["spec"]["resources"] == {
        "requests": {"storage": "10Gi"}
    }


def test_what_cant_be_changed_stays_as_it_is() -> None:
    present = _present(storageClassName="slow", accessModes=["ReadWriteOncePod"])
    assert _claim({"storageClassName": "fast"}, present)["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "10Gi"}},
        "storageClassName": "slow",
    }


def test_a_claim_without_a_class_gets_none_later() -> None:
    present = _present()
    del present["spec"]["storageClassName"]
    assert "storageClassName" not in _claim({"storageClassName": "fast"}, present)["spec"]


@pytest.mark.parametrize("present", [None, _present()])
@pytest.mark.parametrize(("reclaim", "owned"), [("Retain", False), ("Delete", True)])
def test_the_bridge_owns_the_claim_where_it_goes_with_it(
    present: dict[str, Any] | None, reclaim: str, owned: bool
) -> None:
    metadata = _claim({"reclaim": reclaim}, present)["metadata"]
    assert ("ownerReferences" in metadata) is owned


def test_an_existing_claim_is_left_alone() -> None:
    assert make_claim(bridge({"workspace": {"existingClaim": "data"}}), None) is None


def test_a_claim_that_an_earlier_namesake_left_is_foreign() -> None:
    assert not claim_is_foreign(bridge(), _present())
    theirs = _present() | {"metadata": {"labels": naming.labels("payments", "another")}}
    assert claim_is_foreign(bridge(), theirs)
    assert claim_is_foreign(bridge(), {"metadata": {"name": "rb-payments-workspace-0"}})


def test_a_claim_that_the_spec_names_is_not_foreign() -> None:
    theirs = _present() | {"metadata": {"labels": {}}}
    assert not claim_is_foreign(bridge({"workspace": {"existingClaim": "data"}}), theirs)
