"""Lowering a wish and resizing a live pod, as a real API server takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from repobridge import crd
from repobridge_operator.cluster import Cluster
from repobridge_operator.lowering import lower_replicas
from repobridge_operator.observed import BridgeKey
from repobridge_operator.resizer import Resized, Resizer
from repobridge_operator.resources.amounts import Memory
from repobridge_operator.resources.pod import make_pod
from repobridge_operator.resources.podsettings import PodSettings
from repobridge_operator.sleep_values import Lower, Lowering
from scripts.crds.definition import FILE
from tests.apiserver.access import open_client
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.rest import Object, Rest
from tests.fakes.api_proxy import ApiProxy
from tests.fakes.kubelet import run_kubelet

MIB = 1 << 20
UID = "7f0c2f4e-7e6b-4a53-9b3a-0d6b3f1a2c3d"
SETTINGS = PodSettings(image="example.test/runner:1")


@pytest.fixture(scope="session", autouse=True)
def installed(install_crd: Callable[[Path], None]) -> None:
    install_crd(FILE)


@pytest.fixture
async def cluster(apiserver: ApiServer) -> AsyncIterator[Cluster]:
    async with open_client(apiserver.kubeconfig) as client:
        yield Cluster(client)


class Bridge:
    """A RepoBridge that is awake, as the operator saw it when it found its runner idle."""

    def __init__(self, api: Rest, seen: Object) -> None:
        metadata = seen["metadata"]
        self.key = BridgeKey(metadata["namespace"], metadata["name"])
        self.uid = metadata["uid"]
        self.seen = Lower(metadata["resourceVersion"], metadata["generation"])
        self.path = f"/apis/{crd.API_VERSION}/namespaces/{self.key.namespace}/{crd.PLURAL}"
        self._api = api

    async def replicas(self) -> int:
        found: int = (await self._api.get(f"{self.path}/payments"))["spec"]["replicas"]
        return found

    async def wish(self, spec: dict[str, Any]) -> None:
        """Somebody changes the spec."""
        await self._api.merge(f"{self.path}/payments", {"spec": spec})

    async def note(self) -> None:
        """Somebody writes the status."""
        status = {"status": {"sessions": 1}}
        await self._api.merge(f"{self.path}/payments/status", status)


@pytest.fixture
async def bridge(admin: Rest, namespace: str) -> Bridge:
    body = {
        "apiVersion": crd.API_VERSION,
        "kind": crd.KIND,
        "metadata": {"name": "payments"},
        "spec": {"replicas": 1},
    }
    path = f"/apis/{crd.API_VERSION}/namespaces/{namespace}/{crd.PLURAL}"
    return Bridge(admin, await admin.create(path, body))


async def lower(cluster: Cluster, bridge: Bridge) -> Lowering:
    return await lower_replicas(cluster, bridge.key, bridge_uid=bridge.uid, lower=bridge.seen)


async def test_an_idle_bridge_is_lowered_through_the_subresource_scale(
    cluster: Cluster, bridge: Bridge
) -> None:
    assert await lower(cluster, bridge) is Lowering.DONE
    assert await bridge.replicas() == 0


async def test_a_status_that_was_written_since_is_no_wish(cluster: Cluster, bridge: Bridge) -> None:
    await bridge.note()
    assert await lower(cluster, bridge) is Lowering.DONE
    assert await bridge.replicas() == 0


async def test_a_wake_since_then_wins_though_the_number_is_the_same_again(
    cluster: Cluster, bridge: Bridge
) -> None:
    await bridge.wish({"replicas": 0})
    await bridge.wish({"replicas": 1})
    assert await lower(cluster, bridge) is Lowering.OVERTAKEN
    assert await bridge.replicas() == 1


async def test_any_other_change_of_the_spec_since_then_wins_too(
    cluster: Cluster, bridge: Bridge
) -> None:
    await bridge.wish({"scaling": {"idleTimeout": "1h"}})
    assert await lower(cluster, bridge) is Lowering.OVERTAKEN
    assert await bridge.replicas() == 1


async def test_a_bridge_that_is_gone_or_another_of_its_name_is_left_alone(
    cluster: Cluster, bridge: Bridge, admin: Rest
) -> None:
    await admin.delete(f"{bridge.path}/payments")
    assert await lower(cluster, bridge) is Lowering.OVERTAKEN
    body = {
        "apiVersion": crd.API_VERSION,
        "kind": crd.KIND,
        "metadata": {"name": "payments"},
        "spec": {"replicas": 1},
    }
    await admin.create(bridge.path, body)
    assert await lower(cluster, bridge) is Lowering.OVERTAKEN
    assert await bridge.replicas() == 1


async def test_a_write_whose_answer_is_lost_is_found_done_and_one_that_fails_is_told(
    api_proxy: ApiProxy, bridge: Bridge, make_limited_user: MakeUser
) -> None:
    rules = [
        {
            "apiGroups": [crd.GROUP],
            "resources": [crd.PLURAL, f"{crd.PLURAL}/scale"],
            "verbs": ["get", "patch"],
        }
    ]
    user = (await make_limited_user("operator", rules)).at(api_proxy.url)
    async with user.client() as client:
        cluster = Cluster(client)
        api_proxy.refuse(503, method="PATCH", path="/scale")
        assert await lower(cluster, bridge) is Lowering.FAILED
        assert await bridge.replicas() == 1
        api_proxy.cut(method="PATCH", path="/scale", carried_out=True)
        assert await lower(cluster, bridge) is Lowering.FAILED
        assert await lower(cluster, bridge) is Lowering.DONE
        assert await bridge.replicas() == 0


# --------------------------------------------------------------------- memory


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class LivePod:
    """A bridge's pod, as `make_pod` makes it, with a runner that runs."""

    def __init__(self, api: Rest, namespace: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._namespace = namespace
        self.name = ""

    async def start(self) -> None:
        metadata = {"name": "payments", "namespace": self._namespace, "uid": UID}
        spec = {"replicas": 1, "scaling": {"sessionsPerPod": 3, "memoryPerSession": "600Mi"}}
        pod = make_pod(crd.parse({"metadata": metadata, "spec": spec}), settings=SETTINGS)
        # The collector would remove what a bridge owns that does not exist.
        del pod["metadata"]["ownerReferences"]
        self.name = pod["metadata"]["name"]
        await self._api.create(self._path, pod)
        await self._api.wait_for(
            self._path, self.name, lambda found: found is not None and is_running(found)
        )

    async def read(self) -> Object:
        return await self._api.get(f"{self._path}/{self.name}")

    async def memory(self) -> tuple[str, str]:
        """Request and limit, as the spec has them."""
        resources = (await self.read())["spec"]["containers"][0]["resources"]
        return resources["requests"]["memory"], resources["limits"]["memory"]


def is_running(pod: Object) -> bool:
    return bool(pod["status"]["phase"] == "Running")


def memory(request: int, limit: int = 256 + 3 * 600) -> Memory:
    return Memory(request=request * MIB, limit=limit * MIB)


@pytest.fixture
async def pod(admin: Rest, namespace: str) -> AsyncIterator[LivePod]:
    async with run_kubelet(admin, namespace=namespace):
        live = LivePod(admin, namespace)
        await live.start()
        yield live


async def test_a_live_pod_grows_in_place_and_shrinks_after_a_while(
    cluster: Cluster, pod: LivePod
) -> None:
    clock = Clock()
    resizer = Resizer(cluster, clock=clock)
    before = await pod.read()
    assert await pod.memory() == ("856Mi", "2056Mi")
    assert await resizer.tend(before, memory(1456)) == Resized()
    assert await pod.memory() == ("1456Mi", "2056Mi")
    after = await pod.read()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["containers"][0]["image"] == before["spec"]["containers"][0]["image"]
    assert after["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "250m"
    assert await resizer.tend(await pod.read(), memory(856)) == Resized(again_seconds=300.0)
    clock.seconds = 300.0
    assert await resizer.tend(await pod.read(), memory(856)) == Resized()
    assert await pod.memory() == ("856Mi", "2056Mi")


async def test_a_pod_that_is_as_it_should_be_causes_no_call(
    apiserver: ApiServer, cluster: Cluster, pod: LivePod
) -> None:
    resizer = Resizer(cluster, clock=Clock())
    found = await pod.read()
    version = found["metadata"]["resourceVersion"]
    for _ in range(3):
        assert await resizer.tend(found, memory(856)) == Resized()
    assert (await pod.read())["metadata"]["resourceVersion"] == version


async def test_another_pod_of_that_name_is_not_resized(cluster: Cluster, pod: LivePod) -> None:
    found = await pod.read()
    found["metadata"]["uid"] = "00000000-0000-4000-8000-000000000001"
    resized = await Resizer(cluster, clock=Clock()).tend(found, memory(1456))
    assert "metadata.uid" in resized.refusal
    assert await pod.memory() == ("856Mi", "2056Mi")


async def test_what_may_not_be_resized_is_refused_once_and_says_why(
    pod: LivePod, make_limited_user: MakeUser, apiserver: ApiServer
) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]}]
    user = await make_limited_user("operator", rules)
    clock = Clock()
    async with user.client() as client:
        resizer = Resizer(Cluster(client), clock=clock)
        found = await pod.read()
        first = await resizer.tend(found, memory(1456))
        assert 'cannot patch resource "pods/resize"' in first.refusal
        assert first.again_seconds == 900.0
        clock.seconds = 60.0
        again = await resizer.tend(found, memory(1456))
        assert again == Resized(first.refusal, 840.0)
        assert await resizer.tend(found, memory(856)) == Resized()


async def test_a_cluster_without_the_subresource_is_remembered_as_such(
    cluster: Cluster, pod: LivePod, make_limited_user: MakeUser, api_proxy: ApiProxy
) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/resize"], "verbs": ["get", "patch"]}]
    user = (await make_limited_user("operator", rules)).at(api_proxy.url)
    missing = "the server could not find the requested resource"
    api_proxy.refuse(404, method="PATCH", path="/resize", reason="NotFound", message=missing)
    async with user.client() as client:
        resizer = Resizer(Cluster(client), clock=Clock())
        found = await pod.read()
        assert await resizer.tend(found, memory(1456)) == Resized(missing, 900.0)
        assert await resizer.tend(found, memory(1456)) == Resized(missing, 900.0)
        assert sum("/resize" in each.path for each in api_proxy.seen) == 1
