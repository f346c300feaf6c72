"""What is done about a bridge: decided purely, from any state that a death could leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.certificates import make_ca
from repobridge_operator.authority import Authority
from repobridge_operator.cluster import Resource
from repobridge_operator.drift import stamped
from repobridge_operator.observed import BridgeKey, BridgeView
from repobridge_operator.plan import (
    Action,
    Apply,
    CreatePod,
    DeletePod,
    Ending,
    Grow,
    Issue,
    Making,
    Plan,
    Seen,
    claim_source,
    outlook,
    plan,
)
from repobridge_operator.resources.identity import Stale, issue_for_bridge, make_bridge_secret
from repobridge_operator.resources.network import make_network_policy
from repobridge_operator.resources.pod import make_pod
from repobridge_operator.resources.podsettings import NetworkSettings
from repobridge_operator.resources.storage import make_claim
from repobridge_operator.sleep_values import Ground, Permission, Want
from tests.unit.operator.bridges import SETTINGS, UID, bridge
from tests.unit.operator.pods import POD_UID, ended, pod, running

NOW = datetime(2026, 11, 21, 12, 0, 6, tzinfo=UTC)
MAKING = Making(pod=SETTINGS, network=NetworkSettings(control_plane=({"podSelector": {}},)))
AUTHORITY = Authority(current=make_ca(now=NOW))
KEY = BridgeKey("team", "payments")
SECRET = make_bridge_secret(
    issue_for_bridge(AUTHORITY, UID, now=NOW),
    AUTHORITY,
    namespace="team",
    bridge="payments",
    uid=UID,
)
POLICY = stamped(make_network_policy(bridge(), settings=MAKING.network))
_CLAIM = make_claim(bridge(), None)
assert _CLAIM is not None
CLAIM = stamped(_CLAIM, source=claim_source(bridge()))
AWAKE = {"replicas": 1}
PERMISSION = Permission(POD_UID, Ground.DRAINED, "7")


def planned(
    spec: Mapping[str, Any] | None = None,
    *,
    found: Mapping[str, Any] | None = None,
    claim: Mapping[str, Any] | None = CLAIM,
    policy: Mapping[str, Any] | None = POLICY,
    secret: Mapping[str, Any] | None = SECRET,
    is_accepted: bool = True,
    permission: Permission | None = None,
    deaths: int = 0,
    now: datetime = NOW,
) -> Plan:
    """The plan for a bridge that sleeps and has all it needs, but for what is named."""
    model = bridge(spec)
    seen = Seen(
        view=BridgeView(key=KEY, bridge={}, pod=found, claim=claim, policy=policy),
        bridge=model,
        outlook=outlook(model, found, is_accepted=is_accepted, making=MAKING, deaths=deaths),
        secret=secret,
        authority=AUTHORITY,
        permission=permission,
        now=now,
    )
    return plan(seen, making=MAKING)


def made(spec: Mapping[str, Any], deaths: int = 0) -> CreatePod:
    return CreatePod(make_pod(bridge(spec), settings=SETTINGS, deaths=deaths))


def test_a_new_bridge_gets_policy_certificate_and_claim_before_its_pod() -> None:
    assert planned(AWAKE, claim=None, policy=None, secret=None).actions == (
        Apply(Resource.POLICY, POLICY),
        Issue(Stale.MISSING),
        Apply(Resource.CLAIM, CLAIM),
        made(AWAKE),
    )


@pytest.mark.parametrize(
    ("spec", "is_accepted", "is_made"),
    [
        ({}, True, False),
        (AWAKE, True, True),
        ({"scaling": {"minReplicas": 1}}, True, True),
        ({"replicas": 1, "suspend": True}, True, False),
        ({"scaling": {"minReplicas": 1}, "suspend": True}, True, False),
        (AWAKE, False, False),
    ],
)
def test_there_is_a_pod_only_while_it_is_wished_for_and_the_bridge_accepted(
    spec: Mapping[str, Any], is_accepted: bool, is_made: bool
) -> None:
    expected = (made(spec),) if is_made else ()
    assert planned(spec, is_accepted=is_accepted).actions == expected


def test_a_stable_bridge_needs_nothing_asleep_or_awake() -> None:
    assert planned() == Plan(actions=())
    assert planned(AWAKE, found=running(spec=AWAKE)) == Plan(actions=())


@pytest.mark.parametrize("found", [pod(spec=AWAKE), running(spec=AWAKE)])
def test_a_pod_is_put_to_sleep_with_leave_only(found: Mapping[str, Any]) -> None:
    assert planned(found=found).actions == ()
    assert planned(found=found, permission=replace(PERMISSION, pod_uid="another")).actions == ()
    assert planned(found=found, permission=PERMISSION).actions == (
        DeletePod(ending=Ending.SLEEP, uid=POD_UID, resource_version="7"),
    )


def test_a_pod_of_another_template_goes_with_leave_only_and_a_wished_one_never() -> None:
    found, changed = running(spec=AWAKE), {"replicas": 1, "pod": {"image": "other:2"}}
    assert planned(changed, found=found).actions == ()
    assert planned(changed, found=found, permission=PERMISSION).actions == (
        DeletePod(ending=Ending.UPDATE, uid=POD_UID, resource_version="7"),
    )
    assert planned(AWAKE, found=found, permission=PERMISSION).actions == ()


def test_a_dead_pod_makes_room_at_once_or_when_its_time_has_come() -> None:
    [action] = planned(AWAKE, found=ended(spec=AWAKE)).actions
    assert action == DeletePod(ending=Ending.FINISHED, uid=POD_UID, deaths=1)
    crashing = ended(spec=AWAKE, deaths=3)
    again_at = datetime(2026, 11, 21, 12, 0, 15, tzinfo=UTC)
    assert planned(AWAKE, found=crashing) == Plan(actions=(), again_at=again_at)
    assert planned(AWAKE, found=crashing, now=again_at).actions == (
        DeletePod(ending=Ending.FINISHED, uid=POD_UID, deaths=4),
    )
    # Nobody waits for what is not to come back, nor for what is made otherwise now.
    assert planned(found=crashing).actions == (
        DeletePod(ending=Ending.FINISHED, uid=POD_UID, deaths=4),
    )
    mended = {"replicas": 1, "pod": {"image": "other:2"}}
    assert planned(mended, found=crashing).actions == (
        DeletePod(ending=Ending.FINISHED, uid=POD_UID, deaths=0),
    )


def test_the_successor_carries_the_count_of_deaths() -> None:
    assert planned(AWAKE, deaths=3).actions == (made(AWAKE, deaths=3),)


def test_a_pod_that_goes_or_is_a_namesakes_is_waited_for() -> None:
    going = running(spec=AWAKE, deleted="2026-11-21T12:00:30Z")
    assert planned(found=going, permission=PERMISSION).actions == ()
    theirs = running(spec=AWAKE)
    theirs["metadata"]["labels"]["repobridge.dev/uid"] = "former"
    assert planned(found=theirs, permission=PERMISSION).actions == ()


def test_the_claim_of_a_namesake_is_left_alone() -> None:
    theirs = {**CLAIM, "metadata": {**CLAIM["metadata"], "labels": {}}}
    assert planned(claim=theirs).actions == ()


def test_the_class_that_the_cluster_chose_is_no_change() -> None:
    bound = {**CLAIM, "spec": {**CLAIM["spec"], "storageClassName": "fast", "volumeName": "v"}}
    assert planned(claim=bound).actions == ()


def test_what_is_no_longer_named_is_taken_back() -> None:
    owned = {"workspace": {"reclaim": "Delete"}}
    claim = make_claim(bridge(owned), None)
    assert claim is not None
    assert planned(claim=stamped(claim, source=claim_source(bridge(owned)))).actions == (
        Apply(Resource.CLAIM, CLAIM),
    )


def grown_claim(reclaim: str = "Retain") -> dict[str, Any]:
    larger = bridge({"workspace": {"size": "20Gi", "reclaim": reclaim}})
    made = make_claim(larger, None)
    assert made is not None
    return stamped(made, source=claim_source(larger))


def test_a_bound_claim_grows_in_one_step() -> None:
    bound = {**CLAIM, "status": {"phase": "Bound"}}
    larger = {"workspace": {"size": "20Gi"}}
    assert planned(larger, claim=bound).actions == (Grow(grown_claim()),)
    assert planned(larger, claim={**grown_claim(), "status": {"phase": "Bound"}}).actions == ()
    assert planned(larger, claim=CLAIM).actions == ()  # it has no volume yet


def test_what_else_changes_does_not_wait_for_the_growth() -> None:
    spec = {"workspace": {"size": "20Gi", "reclaim": "Delete"}}
    kept = make_claim(bridge({"workspace": {"reclaim": "Delete"}}), None)
    assert kept is not None
    bound = {**CLAIM, "status": {"phase": "Bound"}}
    assert planned(spec, claim=bound).actions == (
        Apply(Resource.CLAIM, stamped(kept, source=claim_source(bridge(spec)))),
        Grow(grown_claim("Delete")),
    )


def test_a_certificate_that_is_due_is_made_anew() -> None:
    late = NOW + timedelta(days=50)
    assert planned(now=late).actions == (Issue(Stale.DUE),)


PODS = st.sampled_from(
    [
        None,
        pod(spec=AWAKE),
        running(spec=AWAKE),
        running(spec=AWAKE, ready=False),
        running(spec=AWAKE, deleted="2026-11-21T12:00:30Z"),
        ended(spec=AWAKE),
        ended(spec=AWAKE, deaths=9),
        ended(spec=AWAKE, code=0, phase="Succeeded"),
    ]
)
SPECS = st.sampled_from(
    [{}, AWAKE, {"replicas": 1, "suspend": True}, {"replicas": 1, "pod": {"image": "other:2"}}]
)
PERMISSIONS = st.sampled_from([None, PERMISSION, Permission("another", Ground.DRAINED)])


@given(
    spec=SPECS,
    found=PODS,
    permission=PERMISSIONS,
    is_accepted=st.booleans(),
    claim=st.sampled_from([None, CLAIM]),
    policy=st.sampled_from([None, POLICY]),
    secret=st.sampled_from([None, SECRET]),
)
def test_no_state_leads_to_two_pods_or_ends_a_living_one_without_leave(
    *,
    spec: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    permission: Permission | None,
    is_accepted: bool,
    claim: Mapping[str, Any] | None,
    policy: Mapping[str, Any] | None,
    secret: Mapping[str, Any] | None,
) -> None:
    decided = planned(
        spec,
        found=found,
        permission=permission,
        is_accepted=is_accepted,
        claim=claim,
        policy=policy,
        secret=secret,
    )
    of_pod = [each for each in decided.actions if isinstance(each, CreatePod | DeletePod)]
    assert len(of_pod) <= 1
    assert list(decided.actions[-len(of_pod) :] if of_pod else []) == of_pod
    for action in of_pod:
        _check(action, spec, found, permission, is_accepted)


def _check(
    action: Action,
    spec: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    permission: Permission | None,
    is_accepted: bool,
) -> None:
    wish = is_accepted and spec.get("replicas") == 1 and not spec.get("suspend")
    if isinstance(action, CreatePod):
        assert found is None
        assert wish
        return
    assert isinstance(action, DeletePod)
    assert found is not None
    assert action.uid == POD_UID
    if found["status"]["phase"] not in {"Failed", "Succeeded"}:
        assert permission == PERMISSION
        want = outlook(bridge(spec), found, is_accepted=is_accepted, making=MAKING).want
        assert want is not Want.AWAKE
