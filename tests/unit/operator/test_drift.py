"""Whether an object has to be applied again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_operator.drift import ANNOTATION_APPLIED, has_drifted, stamped

MANIFEST: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {
        "name": "one",
        "labels": {"a": "b"},
        "ownerReferences": [{"uid": "u1", "name": "one"}],
    },
    "spec": {"resources": {"requests": {"storage": "1Gi"}}, "items": [], "ports": [{"port": 53}]},
}


def stored(**metadata: Any) -> dict[str, Any]:
    """The manifest as the API server gives it back."""
    found = deepcopy(stamped(MANIFEST))
    found["metadata"] |= {"uid": "x", "resourceVersion": "1", **metadata}
    del found["spec"]["items"]
    found["spec"]["ports"][0]["protocol"] = "TCP"
    found["status"] = {"phase": "Bound"}
    return found


def test_what_the_server_adds_or_leaves_out_is_no_drift() -> None:
    wanted = stamped(MANIFEST)
    assert not has_drifted(stored(), wanted)
    item = stored()
    del item["apiVersion"], item["kind"]
    assert not has_drifted(item, wanted)
    other_owner = stored(ownerReferences=[{"uid": "u9"}, {"uid": "u1", "name": "one"}])
    assert not has_drifted(other_owner, wanted)
    same_amount = stored()
    same_amount["spec"]["resources"]["requests"]["storage"] = "1024Mi"
    assert not has_drifted(same_amount, wanted)


def _without_hash(found: dict[str, Any]) -> None:
    found["metadata"]["annotations"] = {}


def _relabelled(found: dict[str, Any]) -> None:
    found["metadata"]["labels"]["a"] = "c"


def _another_item(found: dict[str, Any]) -> None:
    found["spec"]["ports"].append({"port": 54})


def _other_amount(found: dict[str, Any]) -> None:
    found["spec"]["resources"]["requests"]["storage"] = "2Gi"


def _disowned(found: dict[str, Any]) -> None:
    del found["metadata"]["ownerReferences"]


def _emptied(found: dict[str, Any]) -> None:
    found["spec"] = None


@pytest.mark.parametrize(
    "change", [_without_hash, _relabelled, _another_item, _other_amount, _disowned, _emptied]
)
def test_what_somebody_changed_is_drift(change: Any) -> None:
    found = stored()
    change(found)
    assert has_drifted(found, stamped(MANIFEST))


def test_an_object_that_is_not_there_has_to_be_applied() -> None:
    assert has_drifted(None, stamped(MANIFEST))


def test_a_field_that_is_no_longer_named_is_drift_by_the_hash_alone() -> None:
    smaller = deepcopy(MANIFEST)
    del smaller["metadata"]["ownerReferences"]
    assert has_drifted(stored(), stamped(smaller))


def test_the_hash_is_of_the_source_where_there_is_one() -> None:
    grown = deepcopy(MANIFEST)
    grown["spec"]["storageClassName"] = "fast"
    [of_source, of_itself] = [
        each["metadata"]["annotations"][ANNOTATION_APPLIED]
        for each in (stamped(grown, source=MANIFEST), stamped(MANIFEST))
    ]
    assert of_source == of_itself
    assert "annotations" not in MANIFEST["metadata"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab1Gi", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_a_manifest_never_drifts_from_itself(value: Any) -> None:
    wanted = stamped({"metadata": {"name": "x"}, "spec": value})
    assert not has_drifted(deepcopy(wanted), wanted)


@given(one=JSON, other=JSON)
def test_another_manifest_always_drifts(one: Any, other: Any) -> None:
    first = stamped({"metadata": {"name": "x"}, "spec": one})
    second = stamped({"metadata": {"name": "x"}, "spec": other})
    same = first["metadata"]["annotations"] == second["metadata"]["annotations"]
    assert has_drifted(first, second) != same
