"""The chart on a real API server: it is taken, changed and removed, and its rights are enough."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from repobridge import crd
from repobridge_cli import kubectl_bridge
from scripts.crds.definition import FILE
from tests.apiserver.harness import ApiServer
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.operators import Operator
from tests.apiserver.rest import Object, Rest, RestError
from tests.chart.helm import RELEASE, Helm, HelmFailed, Values, one
from tests.chart.release import Release
from tests.fakes.kubelet import run_kubelet

_FORBIDDEN = 403
WITH_GATEWAY: Values = {
    "gateway": {"enabled": True, "discord": {"tokenSecretRef": {"name": "bot"}}}
}


def bridges(namespace: str) -> str:
    return f"/apis/{crd.API_VERSION}/namespaces/{namespace}/{crd.PLURAL}"


async def make_bridge(admin: Rest, namespace: str, **spec: object) -> None:
    manifest = {"apiVersion": crd.API_VERSION, "kind": crd.KIND, "metadata": {"name": "one"}}
    await admin.create(bridges(namespace), {**manifest, "spec": spec})


@pytest.fixture
def release(
    cluster_helm: Helm, apiserver: ApiServer, admin: Rest, kubectl: Kubectl, namespace: str
) -> Iterator[Release]:
    """The chart's release in the test's namespace."""
    made = Release(cluster_helm, apiserver, admin, kubectl, namespace)
    yield made
    made.remove()


@pytest.fixture
async def other(admin: Rest, namespace: str) -> AsyncIterator[str]:
    """A second namespace."""
    name = f"{namespace}-other"
    await admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
    await admin.wait_for(
        f"/api/v1/namespaces/{name}/serviceaccounts", "default", lambda one: one is not None
    )
    yield name
    await admin.delete(f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"namespaces": ["default"]},
        {
            "images": {"pullSecrets": [{"name": "registry"}]},
            "commonLabels": {"cost": "7"},
            "operator": {
                "replicas": 2,
                "extraEnv": [{"name": "REPOBRIDGE_OPERATOR_CALL_SECONDS", "value": "20"}],
                "podLabels": {"team": "platform"},
                "podAnnotations": {"note": "one"},
                "nodeSelector": {"pool": "system"},
                "tolerations": [{"operator": "Exists"}],
                "affinity": {"podAntiAffinity": {}},
                "serviceAccount": {"annotations": {"iam.example/role": "none"}},
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
                ],
            },
            "metrics": {"service": {"annotations": {"prometheus.io/scrape": "true"}}},
        },
        WITH_GATEWAY,
        {**WITH_GATEWAY, "namespaces": ["default"]},
    ],
    ids=["defaults", "namespaces", "everything", "gateway", "gateway of namespaces"],
)
async def test_the_api_server_takes_every_object_as_it_is(
    helm: Helm, kubectl: Kubectl, namespace: str, values: Values
) -> None:
    objects = helm.template(values, namespace=namespace)
    text = "\n---\n".join(json.dumps(each) for each in objects)
    command = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    said = await kubectl(*command, input=text)
    assert len(said.splitlines()) == len(objects)


@pytest.mark.parametrize("part", ["operator", "gateway"])
async def test_the_charts_pods_are_allowed_where_pods_are_restricted(
    helm: Helm, admin: Rest, namespace: str, part: str
) -> None:
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    await admin.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": enforced}})
    objects = helm.template(WITH_GATEWAY)
    template = one(objects, "Deployment", f"repobridge-{part}")["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    made = await admin.create(
        f"/api/v1/namespaces/{namespace}/pods",
        {"metadata": {"name": part}, "spec": spec},
    )
    assert made["status"]["phase"] == "Pending"


async def test_bridges_outlive_their_release(release: Release, admin: Rest) -> None:
    await release.install()
    await make_bridge(admin, release.namespace)
    made = await release.bridge("one")

    release.upgrade({"operator": {"replicas": 2}})
    deployments = f"/apis/apps/v1/namespaces/{release.namespace}/deployments"
    found = await admin.get(f"{deployments}/repobridge-operator")
    assert found["spec"]["replicas"] == 2
    release.upgrade({"crds": {"install": False}})
    assert await release.bridge("one") == made
    release.upgrade()

    release.remove()
    assert await release.bridge("one") == made
    assert (await admin.get(deployments))["items"] == []
    with pytest.raises(RestError, match="NotFound"):
        await admin.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/repobridge-operator")

    await release.install()
    assert await release.bridge("one") == made


async def test_a_definition_of_somebody_else_is_taken_over_only_on_request(
    cluster_helm: Helm, kubectl: Kubectl, namespace: str
) -> None:
    await kubectl("apply", "--server-side", "-f", str(FILE))
    with pytest.raises(HelmFailed, match="cannot be imported into the current release"):
        cluster_helm.release("install", namespace=namespace)
    cluster_helm.release("install", {"crds": {"install": False}}, namespace=namespace)
    cluster_helm.uninstall(namespace=namespace)
    cluster_helm.install_over({}, namespace=namespace)
    cluster_helm.uninstall(namespace=namespace)
    kept = json.loads(await kubectl("get", "-f", str(FILE), "-o", "json"))
    assert kept["metadata"]["annotations"]["meta.helm.sh/release-name"] == RELEASE


async def test_what_helm_says_at_the_end_is_a_way_to_a_first_bridge(
    release: Release, admin: Rest, kubectl: Kubectl, other: str
) -> None:
    said = await release.install({"namespaces": [other]})
    assert f"runs in {release.namespace}, and serves {other}." in said
    secret = re.search(r"kubectl (-n \S+ create secret .*)", said)
    bridge = re.search(r"kubectl (-n \S+ apply -f -) <<EOF\n(.*?)\n *EOF", said, re.S)
    talk = re.search(r"kubectl bridge (chat .*)", said)
    assert secret
    assert bridge
    assert talk
    assert CliRunner().invoke(kubectl_bridge.cli, [*talk[1].split(), "--help"]).exit_code == 0
    await kubectl(*secret[1].split())
    await kubectl(*bridge[1].split(), input=textwrap.dedent(bridge[2]))
    made = await admin.get(f"{bridges(other)}/payments")
    named = made["spec"]["agent"]["credentialsSecretRef"]["name"]
    assert (await admin.get(f"/api/v1/namespaces/{other}/secrets/{named}"))["data"]


async def until_phase(admin: Rest, namespace: str, *phases: str) -> Object:
    found = await admin.wait_for(
        bridges(namespace),
        "one",
        lambda each: each is not None and each.get("status", {}).get("phase") in phases,
        seconds=120,
    )
    assert found is not None
    return found


async def live_through(admin: Rest, namespace: str) -> None:
    """A bridge is made, woken, and sent to sleep."""
    await make_bridge(admin, namespace, workspace={"size": "1Gi"})
    await until_phase(admin, namespace, "Asleep")
    async with run_kubelet(admin, namespace=namespace):
        scale = f"{bridges(namespace)}/one/scale"
        await admin.merge(scale, {"spec": {"replicas": 1}})
        found = await until_phase(admin, namespace, "Waking", "Ready")
        assert found["status"]["conditions"]
        await admin.merge(f"{bridges(namespace)}/one", {"spec": {"suspend": True}})
        await until_phase(admin, namespace, "Draining", "Suspended")


async def test_the_operator_serves_all_namespaces_with_the_rights_of_the_chart(
    release: Release, admin: Rest, other: str, tmp_path: Path
) -> None:
    await release.install()
    async with release.operator(tmp_path) as operator:
        await live_through(admin, other)
        assert forbidden(operator) == []
    assert [each for each in await release.requests() if each.code == _FORBIDDEN] == []


async def test_the_operator_serves_the_namespaces_of_a_list_and_asks_for_no_other(
    release: Release, admin: Rest, other: str, tmp_path: Path
) -> None:
    await release.install({"namespaces": [other]})
    await make_bridge(admin, release.namespace)
    async with release.operator(tmp_path) as operator:
        await live_through(admin, other)
        assert forbidden(operator) == []
    asked = await release.requests()
    assert [each for each in asked if each.code == _FORBIDDEN] == []
    of_resources = {(each.namespace, each.resource) for each in asked if each.resource[0] != "/"}
    own = {(release.namespace, "leases"), (release.namespace, "secrets")}
    assert {each for each in of_resources if each[0] != other} <= own
    assert "status" not in await admin.get(f"{bridges(release.namespace)}/one")


def forbidden(operator: Operator) -> list[str]:
    text = operator.log.read_text()
    return [line for line in text.splitlines() if "orbidden" in line or '"status": 403' in line]
