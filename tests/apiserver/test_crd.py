"""What a person reads at `kubectl apply`: the definition on a real API server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from repobridge import crd
from repobridge.conditions import ConditionType, Phase, Reason, sentence
from scripts.crds.definition import FILE, definition
from tests.apiserver.kubectl import Kubectl, KubectlFailed
from tests.apiserver.rest import Object, Rest, RestError
from tests.largest_spec import largest
from tests.specs import (
    CHANNEL,
    GOOD,
    REFUSED,
    REFUSED_CHANGES,
    TAKEN_CHANGES,
    Wrong,
    WrongChange,
)


@pytest.fixture(scope="session", autouse=True)
def installed(install_crd: Callable[[Path], None]) -> None:
    install_crd(FILE)


def bridge(spec: Mapping[str, Any], name: str = "payments") -> dict[str, Any]:
    return {
        "apiVersion": crd.API_VERSION,
        "kind": crd.KIND,
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def collection(namespace: str) -> str:
    return f"/apis/{crd.API_VERSION}/namespaces/{namespace}/{crd.PLURAL}"


async def created(admin: Rest, namespace: str, spec: Mapping[str, Any]) -> Object:
    return await admin.create(collection(namespace), bridge(spec))


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
async def test_a_wrong_spec_is_refused_with_its_place_and_a_sentence(
    admin: Rest, wrong: Wrong
) -> None:
    with pytest.raises(RestError) as refused:
        await created(admin, "default", wrong.spec)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert f"{wrong.path}: " in refused.value.message
    assert wrong.says in refused.value.message


@pytest.mark.parametrize("change", REFUSED_CHANGES.values(), ids=REFUSED_CHANGES)
async def test_a_wrong_change_is_refused_and_changes_nothing(
    admin: Rest, namespace: str, change: WrongChange
) -> None:
    before = await created(admin, namespace, change.before)
    path = f"{collection(namespace)}/payments"
    after = bridge(change.after) | {"metadata": before["metadata"]}
    with pytest.raises(RestError) as refused:
        await admin.replace(path, after)
    assert f"{change.path}: " in refused.value.message
    assert change.says in refused.value.message
    assert await admin.get(path) == before


@pytest.mark.parametrize("change", TAKEN_CHANGES.values(), ids=TAKEN_CHANGES)
async def test_a_change_that_comes_near_is_taken(
    admin: Rest, namespace: str, change: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    before = await created(admin, namespace, change[0])
    after = bridge(change[1]) | {"metadata": before["metadata"]}
    changed = await admin.replace(f"{collection(namespace)}/payments", after)
    assert changed["metadata"]["generation"] == before["metadata"]["generation"] + 1


@pytest.mark.parametrize("example", GOOD, ids=lambda path: path.name)
async def test_an_example_is_applied_without_a_warning_and_read_as_it_stands(
    admin: Rest, namespace: str, kubectl: Kubectl, example: Path
) -> None:
    applied = await kubectl(
        "apply", "--warnings-as-errors", "-n", namespace, "-f", str(example), "-o", "json"
    )
    written = yaml.safe_load(example.read_text())
    assert crd.parse(json.loads(applied)).spec == crd.parse(written).spec


async def test_the_definition_is_accepted_without_a_warning(kubectl: Kubectl, admin: Rest) -> None:
    await kubectl("apply", "--warnings-as-errors", "-f", str(FILE))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/repobridges.repobridge.dev"
    conditions = (await admin.get(path))["status"]["conditions"]
    assert {each["type"]: each["status"] for each in conditions} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


async def test_what_is_not_said_is_filled_in(admin: Rest, namespace: str) -> None:
    made = await created(admin, namespace, {"discord": {"channelId": CHANNEL}})
    assert made["spec"] == {
        "replicas": 0,
        "suspend": False,
        "discord": {"channelId": CHANNEL, "requireMention": False, "threads": "Session"},
        "agent": {"type": "claude", "permissionMode": "default", "resume": True},
        "output": {"attachmentThreshold": 1500, "streaming": True},
        "scaling": {
            "idleTimeout": "10m",
            "minReplicas": 0,
            "sessionsPerPod": 4,
            "memoryPerSession": "600Mi",
            "maxAwake": "24h",
            "drainTimeout": "5m",
        },
        "workspace": {"reclaim": "Retain"},
        "resources": {},
        "pod": {},
        "network": {},
    }
    assert crd.parse(made).spec == crd.RepoBridgeSpec(discord=crd.Discord(channel_id=CHANNEL))


async def test_the_largest_spec_is_applied_and_scaled(
    kubectl: Kubectl, admin: Rest, namespace: str
) -> None:
    """The annotation of `kubectl apply` holds it, and the rules' cost at run time is affordable."""
    schema = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    written = json.dumps(bridge(largest(schema["properties"]["spec"])))
    await kubectl("apply", "-n", namespace, "-f", "-", input=written)
    await kubectl("scale", "-n", namespace, "rb/payments", "--replicas=0")
    stored = await admin.get(f"{collection(namespace)}/payments")
    assert crd.parse(stored).spec.replicas == 0


async def test_a_word_that_nobody_knows_is_refused(kubectl: Kubectl, namespace: str) -> None:
    spec = {"pod": {"extraVolumes": [{"name": "a", "mountPath": "/a", "hostPath": {"path": "/"}}]}}
    with pytest.raises(KubectlFailed) as refused:
        await kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(bridge(spec)))
    assert 'unknown field "spec.pod.extraVolumes[0].hostPath"' in refused.value.stderr


async def test_a_variable_stands_once(admin: Rest) -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    with pytest.raises(RestError, match=r"spec\.agent\.env\[1\]: Duplicate value"):
        await created(admin, "default", {"agent": {"env": twice}})


async def test_one_bad_object_does_not_hold_up_the_others(
    kubectl: Kubectl, admin: Rest, namespace: str
) -> None:
    objects = [bridge({}, "first"), bridge({"replicas": 9}, "second"), bridge({}, "third")]
    together = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    with pytest.raises(KubectlFailed):
        await kubectl("apply", "-n", namespace, "-f", "-", input=together)
    listed = await admin.get(collection(namespace))
    assert [each["metadata"]["name"] for each in listed["items"]] == ["first", "third"]


async def test_scaling_sets_the_wish_and_nothing_else(
    kubectl: Kubectl, admin: Rest, namespace: str
) -> None:
    before = await created(admin, namespace, {})
    await kubectl("scale", "-n", namespace, "rb/payments", "--replicas=1")
    after = await admin.get(f"{collection(namespace)}/payments")
    assert after["spec"] == before["spec"] | {"replicas": 1}
    with pytest.raises(KubectlFailed, match="less than or equal to 1"):
        await kubectl("scale", "-n", namespace, "rb/payments", "--replicas=2")


async def test_an_autoscaler_sees_wish_pods_and_their_labels(admin: Rest, namespace: str) -> None:
    await created(admin, namespace, {"replicas": 1})
    path = f"{collection(namespace)}/payments"
    status = crd.RepoBridgeStatus(replicas=1, selector="repobridge.dev/bridge=payments")
    await admin.merge(f"{path}/status", {"status": status.as_object()})
    scale = await admin.get(f"{path}/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == (
        {"replicas": 1},
        {"replicas": 1, "selector": "repobridge.dev/bridge=payments"},
    )


async def test_a_file_without_replicas_leaves_the_wish_alone(
    kubectl: Kubectl, admin: Rest, namespace: str
) -> None:
    path = f"{collection(namespace)}/payments"
    for options in ((), ("--server-side", "--force-conflicts")):
        for spec in ({"discord": {"channelId": CHANNEL}}, {"suspend": True}):
            written = json.dumps(bridge(spec))
            await kubectl("apply", *options, "-n", namespace, "-f", "-", input=written)
            await kubectl("scale", "-n", namespace, "rb/payments", "--replicas=1")
            await kubectl("apply", *options, "-n", namespace, "-f", "-", input=written)
            assert (await admin.get(path))["spec"]["replicas"] == 1


async def test_the_columns_say_where_a_bridge_stands(
    kubectl: Kubectl, admin: Rest, namespace: str
) -> None:
    await created(admin, namespace, {"discord": {"channelId": CHANNEL}})
    now = datetime.now(UTC)
    status = crd.RepoBridgeStatus(
        phase=Phase.READY,
        replicas=1,
        sessions=2,
        last_activity_time=now - timedelta(hours=3, minutes=30, seconds=20),
        conditions=(
            crd.Condition(
                type=ConditionType.READY,
                status=crd.ConditionStatus.TRUE,
                reason=Reason.SERVING,
                message=sentence(Reason.SERVING),
                observed_generation=1,
                last_transition_time=now,
            ),
        ),
    )
    await admin.merge(f"{collection(namespace)}/payments/status", {"status": status.as_object()})
    printed = await kubectl("get", "-n", namespace, "rb")
    header, line = (re.split(r"\s{2,}", row.strip()) for row in printed.splitlines())
    assert header == ["NAME", "PHASE", "READY", "SESSIONS", "CHANNEL", "LAST ACTIVE", "AGE"]
    assert line[:6] == ["payments", "Ready", "Serving", "2", CHANNEL, "3h30m"]


async def test_the_status_is_taken_whole_and_read_back(admin: Rest, namespace: str) -> None:
    await created(admin, namespace, {"discord": {"channelId": CHANNEL}})
    status = crd.RepoBridgeStatus(
        observed_generation=1,
        phase=Phase.WAKING,
        replicas=1,
        selector="repobridge.dev/bridge=payments",
        channel_id=CHANNEL,
        endpoint=crd.Endpoint(pod_name="rb-payments-0", pod_uid="u", address="10.0.0.7", port=7443),
        last_activity_time=datetime(2026, 1, 1, 12, tzinfo=UTC),
        conditions=tuple(
            crd.Condition(
                type=kind,
                status=crd.ConditionStatus.UNKNOWN,
                reason=Reason.CLONING,
                message=sentence(Reason.CLONING),
                observed_generation=1,
                last_transition_time=datetime(2026, 1, 1, 11, tzinfo=UTC),
            )
            for kind in ConditionType
        ),
    )
    path = f"{collection(namespace)}/payments"
    await admin.merge(f"{path}/status", {"status": status.as_object()})
    stored = await admin.get(path)
    assert crd.parse(stored).status == status
    assert stored["status"] == status.as_object()


async def test_bridges_are_in_no_category(kubectl: Kubectl, admin: Rest, namespace: str) -> None:
    await created(admin, namespace, {})
    assert "payments" not in await kubectl("get", "all", "-n", namespace)


async def test_the_reference_is_at_hand(kubectl: Kubectl) -> None:
    told = await kubectl("explain", "rb.spec.scaling.drainTimeout")
    assert "How long a turn may go on when the bridge is told to sleep" in told
