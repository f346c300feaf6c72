"""What the operator remembers of the cluster: the newer state, whose it is, and what is gone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from repobridge_operator.cluster import Resource
from repobridge_operator.observed import BridgeKey, BridgeView, Observed
from repobridge_operator.resources import naming

KEY = BridgeKey("team", "payments")


def bridge(version: int, *, uid: str = "u1", name: str = "payments") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "ü"},
        },
        "spec": {},
    }


def pod(version: int, *, uid: str = "p1", bridge_uid: str = "u1") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": naming.pod_name("payments"),
            "uid": uid,
            "resourceVersion": str(version),
            "labels": naming.labels("payments", bridge_uid),
        }
    }


def test_a_view_holds_a_bridge_and_its_objects_without_the_bookkeeping_of_fields() -> None:
    observed = Observed()
    assert observed.put(Resource.BRIDGE, bridge(1)) == KEY
    assert observed.put(Resource.POD, pod(2)) == KEY
    lean = bridge(1)
    del lean["metadata"]["managedFields"]
    lean["metadata"]["annotations"] = {"a": "ü"}
    assert observed.view(KEY) == BridgeView(
        key=KEY, bridge=lean, pod=pod(2), claim=None, policy=None
    )
    assert observed.view(BridgeKey("team", "other")) is None


def test_an_older_state_that_comes_late_is_no_news() -> None:
    observed = Observed()
    observed.put(Resource.BRIDGE, bridge(1))
    observed.put(Resource.POD, pod(9))
    assert observed.put(Resource.POD, pod(9)) is None
    assert observed.put(Resource.POD, pod(3)) is None
    assert observed.get(Resource.POD, "team", naming.pod_name("payments")) == pod(9)
    assert observed.put(Resource.POD, pod(10)) == KEY


def test_the_end_of_a_pod_that_was_replaced_is_no_news() -> None:
    observed = Observed()
    observed.put(Resource.BRIDGE, bridge(1))
    observed.put(Resource.POD, pod(5, uid="p2"))
    assert observed.remove(Resource.POD, pod(4, uid="p1")) is None
    assert observed.remove(Resource.POD, pod(6, uid="p2")) == KEY
    assert observed.get(Resource.POD, "team", naming.pod_name("payments")) is None


def test_an_answer_that_comes_after_the_end_of_its_object_brings_nothing_back() -> None:
    observed = Observed()
    observed.put(Resource.BRIDGE, bridge(1))
    observed.put(Resource.POD, pod(2))
    observed.remove(Resource.POD, pod(4))
    assert observed.put(Resource.POD, pod(3)) is None
    assert observed.get(Resource.POD, "team", naming.pod_name("payments")) is None
    assert observed.put(Resource.POD, pod(5, uid="p2")) == KEY


def test_an_object_is_its_bridges_by_uid_not_by_name() -> None:
    observed = Observed()
    observed.put(Resource.BRIDGE, bridge(1))
    assert observed.put(Resource.POD, pod(2, bridge_uid="former")) is None
    observed.remove(Resource.BRIDGE, bridge(3))
    assert observed.put(Resource.POD, pod(4)) is None
    observed.put(Resource.BRIDGE, bridge(5, uid="u2"))
    assert observed.put(Resource.POD, pod(6, bridge_uid="u2")) == KEY
    assert observed.keys() == (KEY,)


def test_what_a_full_list_does_not_have_is_forgotten_though_no_watch_told_so() -> None:
    observed = Observed()
    for each in (bridge(1), bridge(2, uid="u2", name="other")):
        observed.put(Resource.BRIDGE, each)
    observed.put(Resource.POD, pod(3))
    assert observed.uids(Resource.POD) == {"p1"}
    assert observed.forget(Resource.POD, observed.uids(Resource.POD)) == {KEY}
    assert observed.forget(Resource.POD, {"p1"}) == set()
    assert observed.forget(Resource.BRIDGE, {"u1"}) == {KEY}
    assert observed.keys() == (BridgeKey("team", "other"),)


@given(order=st.permutations(range(1, 8)))
def test_the_newest_state_stays_in_whatever_order_states_come(order: list[int]) -> None:
    observed = Observed()
    for version in order:
        observed.put(Resource.BRIDGE, bridge(version))
    view = observed.view(KEY)
    assert view is not None
    assert view.bridge["metadata"]["resourceVersion"] == "7"
