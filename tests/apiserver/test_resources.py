"""What the operator makes of a bridge, on a real API server: taken, safe, and stable."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from repobridge import crd
from repobridge.conditions import Reason
from repobridge_operator.refusals import ApiRefusal, Cause, cause_of_refusal
from repobridge_operator.resources.naming import FIELD_MANAGER
from repobridge_operator.resources.network import make_network_policy
from repobridge_operator.resources.pod import make_pod, template_hash
from repobridge_operator.resources.storage import make_claim
from scripts.crds.definition import FILE
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.rest import Object, Rest, RestError
from tests.unit.operator.bridges import FULL, NETWORK, SETTINGS

_CORE = "/api/v1"
_PATHS = {
    "Pod": (_CORE, "pods"),
    "PersistentVolumeClaim": (_CORE, "persistentvolumeclaims"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
}
_ENFORCED = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
}


@pytest.fixture(scope="session", autouse=True)
def installed(install_crd: Callable[[Any], None]) -> None:
    install_crd(FILE)


@pytest.fixture
async def restricted(admin: Rest, namespace: str) -> str:
    """A namespace that takes only restricted pods, and what the full bridge refers to."""
    await admin.merge(f"{_CORE}/namespaces/{namespace}", {"metadata": {"labels": _ENFORCED}})
    await admin.apply(
        "/apis/node.k8s.io/v1/runtimeclasses/gvisor",
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "gvisor"},
            "handler": "runsc",
        },
        manager="test",
    )
    await admin.apply(
        "/apis/scheduling.k8s.io/v1/priorityclasses/interactive",
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "interactive"},
            "value": 1000,
        },
        manager="test",
    )
    return namespace


async def _bridge(admin: Rest, namespace: str, spec: Mapping[str, Any]) -> crd.RepoBridge:
    """A bridge as the API server has it; without one, the collector would delete what it owns."""
    made = {
        "apiVersion": crd.API_VERSION,
        "kind": crd.KIND,
        "metadata": {"name": "payments"},
        "spec": dict(spec),
    }
    collection = f"/apis/{crd.API_VERSION}/namespaces/{namespace}/{crd.PLURAL}"
    return crd.parse(await admin.create(collection, made))


def _manifests(bridge: crd.RepoBridge) -> list[Object]:
    claim = make_claim(bridge, None)
    assert claim is not None
    policy = make_network_policy(bridge, settings=NETWORK)
    return [claim, policy, make_pod(bridge, settings=SETTINGS)]


def _path(manifest: Mapping[str, Any]) -> str:
    group, plural = _PATHS[manifest["kind"]]
    metadata = manifest["metadata"]
    return f"{group}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


async def _apply(admin: Rest, manifest: Object) -> Object:
    return await admin.apply(_path(manifest), manifest, manager=FIELD_MANAGER)


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
async def test_everything_is_taken_by_a_restricted_namespace_without_a_warning(
    admin: Rest, restricted: str, kubectl: Kubectl, spec: dict[str, Any]
) -> None:
    for manifest in _manifests(await _bridge(admin, restricted, spec)):
        await kubectl(
            "apply", "--server-side", "--warnings-as-errors", "-f", "-", input=json.dumps(manifest)
        )


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
async def test_a_further_apply_changes_nothing(
    admin: Rest, restricted: str, spec: dict[str, Any]
) -> None:
    manifests = _manifests(await _bridge(admin, restricted, spec))
    for each in manifests:
        # The first write after its creation gives any claim a new version, with nothing changed.
        await _apply(admin, each)
    applied = [await _apply(admin, each) for each in manifests]
    again = [await _apply(admin, each) for each in manifests]
    assert again == applied


async def test_a_pod_has_no_token_and_the_hash_of_what_it_was_made_from(
    admin: Rest, restricted: str
) -> None:
    bridge = await _bridge(admin, restricted, {})
    desired = make_pod(bridge, settings=SETTINGS)
    pod = await _apply(admin, desired)
    sources = [each for volume in pod["spec"]["volumes"] for each in volume if each != "name"]
    assert "projected" not in sources
    (container,) = pod["spec"]["containers"]
    assert all("serviceaccount" not in each["mountPath"] for each in container["volumeMounts"])
    assert pod["metadata"]["annotations"]["repobridge.dev/template"] == template_hash(desired)
    assert pod["status"]["qosClass"] == "Burstable"


async def test_a_claim_is_owned_and_let_go_as_the_spec_says(admin: Rest, restricted: str) -> None:
    kept = await _bridge(admin, restricted, {})
    workspace = kept.spec.workspace.model_copy(update={"reclaim": crd.Reclaim.DELETE})
    spec = kept.spec.model_copy(update={"workspace": workspace})
    owned = kept.model_copy(update={"spec": spec})
    present: Object | None = None
    owners = []
    for bridge in (kept, owned, kept):
        claim = make_claim(bridge, present)
        assert claim is not None
        present = await _apply(admin, claim)
        owners.append([each["uid"] for each in present["metadata"].get("ownerReferences", [])])
    assert owners == [[], [kept.metadata.uid], []]


# ------------------------------------------------------------------------------------- refusals


async def _refusal(admin: Rest, manifest: Object) -> Cause:
    with pytest.raises(RestError) as refused:
        await _apply(admin, manifest)
    metadata = manifest["metadata"]
    refusal = ApiRefusal(
        kind=manifest["kind"], name=metadata["name"], message=refused.value.message
    )
    return cause_of_refusal(refusal, namespace=metadata["namespace"], size=20 << 30)


@pytest.fixture
async def pod(admin: Rest, restricted: str) -> Object:
    """The manifest of a bridge's pod."""
    return make_pod(await _bridge(admin, restricted, {}), settings=SETTINGS)


async def test_pod_security_is_named(admin: Rest, pod: Object) -> None:
    changed = deepcopy(pod)
    del changed["spec"]["containers"][0]["securityContext"]["capabilities"]
    cause = await _refusal(admin, changed)
    assert cause.reason is Reason.POD_REJECTED
    assert (
        'rejects the pod: violates PodSecurity "restricted:latest": unrestricted capabilities'
        in (cause.message)
    )


@pytest.mark.parametrize(
    ("field", "told"),
    [("priorityClassName", "no PriorityClass with name absent"), ("runtimeClassName", "absent")],
)
async def test_a_class_that_is_not_there_is_named(
    admin: Rest, pod: Object, field: str, told: str
) -> None:
    pod["spec"][field] = "absent"
    cause = await _refusal(admin, pod)
    assert cause.reason is Reason.POD_REJECTED
    assert told in cause.message


async def test_a_pod_that_makes_no_sense_is_named(admin: Rest, pod: Object) -> None:
    pod["spec"]["containers"][0]["volumeMounts"][0]["name"] = "absent"
    cause = await _refusal(admin, pod)
    assert cause.reason is Reason.POD_REJECTED
    assert 'rejects the pod: spec.containers[0].volumeMounts[0].name: Not found: "absent"' in (
        cause.message
    )


async def test_a_limit_range_is_named(admin: Rest, restricted: str, pod: Object) -> None:
    await admin.create(
        f"{_CORE}/namespaces/{restricted}/limitranges",
        {
            "metadata": {"name": "small"},
            "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]},
        },
    )
    cause = await _refusal(admin, pod)
    assert cause.reason is Reason.POD_REJECTED
    assert "maximum memory usage per Container is 1Gi" in cause.message


async def test_a_used_up_quota_is_named(admin: Rest, restricted: str, pod: Object) -> None:
    quotas = f"{_CORE}/namespaces/{restricted}/resourcequotas"
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "512Mi"}}}
    await admin.create(quotas, quota)
    await admin.wait_for(quotas, "team", lambda each: bool(each and each["status"].get("hard")))
    cause = await _refusal(admin, pod)
    assert cause.reason is Reason.QUOTA_EXCEEDED
    assert "exceeded quota: team, requested: requests.memory=856Mi" in cause.message


async def test_a_quota_for_what_the_pod_does_not_say_is_named(
    admin: Rest, restricted: str, pod: Object
) -> None:
    quotas = f"{_CORE}/namespaces/{restricted}/resourcequotas"
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"limits.cpu": "4"}}}
    await admin.create(quotas, quota)
    await admin.wait_for(quotas, "team", lambda each: bool(each and each["status"].get("hard")))
    cause = await _refusal(admin, pod)
    assert cause.reason is Reason.QUOTA_EXCEEDED
    assert "must specify limits.cpu" in cause.message


@pytest.fixture
async def terminating(admin: Rest, restricted: str) -> AsyncIterator[str]:
    """A namespace that is being deleted, and kept from going by a pod."""
    holder = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "holder", "finalizers": ["example.com/hold"]},
    }
    path = f"{_CORE}/namespaces/{restricted}"
    await admin.create(f"{path}/configmaps", holder)
    await admin.delete(path)
    yield restricted
    await admin.merge(f"{path}/configmaps/holder", {"metadata": {"finalizers": None}})


async def test_a_namespace_that_goes_is_named(admin: Rest, pod: Object, terminating: str) -> None:
    cause = await _refusal(admin, pod)
    assert cause == Cause(
        Reason.NAMESPACE_TERMINATING,
        f"Namespace {terminating} is being deleted, so nothing can be made in it.",
    )


# ------------------------------------------------------------------------------- a claim's growth


async def _bound(admin: Rest, bridge: crd.RepoBridge, *, expandable: bool) -> Object:
    """The bridge's claim with a volume that was put there by hand."""
    claim = make_claim(bridge, None)
    assert claim is not None
    name = f"{bridge.metadata.namespace}-class"
    await admin.create(
        "/apis/storage.k8s.io/v1/storageclasses",
        {
            "metadata": {"name": name},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": expandable,
        },
    )
    claim["spec"]["storageClassName"] = name
    await _apply(admin, claim)
    await admin.create(
        f"{_CORE}/persistentvolumes",
        {
            "metadata": {"name": f"{bridge.metadata.namespace}-volume"},
            "spec": {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": name,
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": "/var/empty"},
                "claimRef": {
                    "namespace": bridge.metadata.namespace,
                    "name": claim["metadata"]["name"],
                },
            },
        },
    )
    bound = await admin.wait_for(
        f"{_CORE}/namespaces/{bridge.metadata.namespace}/persistentvolumeclaims",
        claim["metadata"]["name"],
        lambda each: bool(each and each["status"].get("phase") == "Bound"),
    )
    assert bound is not None
    return bound


def _larger(bridge: crd.RepoBridge, present: Object) -> Object:
    workspace = bridge.spec.workspace.model_copy(update={"size": "20Gi"})
    spec = bridge.spec.model_copy(update={"workspace": workspace})
    claim = make_claim(bridge.model_copy(update={"spec": spec}), present)
    assert claim is not None
    return claim


async def test_a_claim_grows_where_its_class_can(admin: Rest, restricted: str) -> None:
    bridge = await _bridge(admin, restricted, {})
    present = await _bound(admin, bridge, expandable=True)
    grown = await _apply(admin, _larger(bridge, present))
    assert grown["spec"]["resources"]["requests"] == {"storage": "20Gi"}
    again = await _apply(admin, _larger(bridge, grown))
    assert again["metadata"]["resourceVersion"] == grown["metadata"]["resourceVersion"]


async def test_a_claim_that_cant_grow_is_named(admin: Rest, restricted: str) -> None:
    bridge = await _bridge(admin, restricted, {})
    present = await _bound(admin, bridge, expandable=False)
    cause = await _refusal(admin, _larger(bridge, present))
    assert cause.reason is Reason.VOLUME_RESIZE_FAILED
    assert "can't grow to 20Gi: only dynamically provisioned pvc can be resized" in cause.message


async def test_a_claim_without_a_volume_is_not_asked_to_grow(admin: Rest, restricted: str) -> None:
    bridge = await _bridge(admin, restricted, {})
    claim = make_claim(bridge, None)
    assert claim is not None
    present = await _apply(admin, claim)
    again = await _apply(admin, _larger(bridge, present))
    assert again["spec"] == present["spec"]
