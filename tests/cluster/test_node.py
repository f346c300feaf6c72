"""The node does what the product asks of one: it is real, so each part of it answers here once."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from scripts.images import Images
from tests.cluster.addresses import NODE_ADDRESS, NODE_NAME
from tests.cluster.daemons import DaemonError
from tests.cluster.handle import Cluster, CommandFailed
from tests.cluster.launch import Parts
from tests.cluster.objects import DATA, USER_ID, make_claim, make_pod, make_service
from tests.cluster.probe_image import PROBE, make_archive
from tests.cluster.storage import SIZED_CLASS
from tests.clustertools.catalog import TOOLS

_ASK = """
import json, re, ssl, sys, urllib.error, urllib.request
mount = "/var/run/secrets/kubernetes.io/serviceaccount"
trust = ssl.create_default_context(cafile=f"{mount}/ca.crt")
url = f"https://kubernetes.default.svc/api/v1/namespaces/{sys.argv[1]}/secrets"
token = open(f"{mount}/token").read()
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
try:
    urllib.request.urlopen(request, context=trust)
except urllib.error.HTTPError as refusal:
    print(refusal.code, re.search('User "(.*?)"', json.load(refusal)["message"])[1])
"""

_builds_images = pytest.mark.timeout(900)
"""A first build takes minutes where `make test` has not made it before."""
_ENDED = "{.status.containerStatuses[0].state.terminated.reason}"


class Namespace:
    """kubectl in one namespace."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    async def kubectl(self, *arguments: str) -> str:
        return await self.cluster.kubectl("--namespace", self.name, *arguments)

    async def apply(self, *objects: dict[str, Any]) -> None:
        for each in objects:
            each["metadata"]["namespace"] = self.name
        await self.cluster.apply(*objects)

    async def get(self, *arguments: str) -> dict[str, Any]:
        return await self.cluster.get("--namespace", self.name, *arguments)

    async def until(self, condition: str, what: str) -> None:
        await self.kubectl("wait", f"--for={condition}", what, "--timeout=180s")

    async def probe(self, pod: str, *arguments: str) -> str:
        return await self.kubectl("exec", pod, "--", PROBE, *arguments)

    async def run(self, pod: dict[str, Any]) -> str:
        """Applies a pod that is to stay, and returns its address once it is ready."""
        await self.apply(pod)
        name = pod["metadata"]["name"]
        await self.until("condition=Ready", f"pod/{name}")
        address: str = (await self.get("pod", name))["status"]["podIP"]
        return address

    async def finish(self, pod: dict[str, Any]) -> str:
        """Applies a pod that is to end well, and returns its log."""
        await self.apply(pod)
        name = pod["metadata"]["name"]
        await self.until(f"jsonpath={_ENDED}", f"pod/{name}")
        log = await self.kubectl("logs", name)
        assert (await self.ended(name))["exitCode"] == 0, log
        return log

    async def ended(self, pod: str) -> dict[str, Any]:
        """How the container of a pod ended."""
        status = (await self.get("pod", pod))["status"]["containerStatuses"][0]
        ended: dict[str, Any] = status["state"]["terminated"]
        return ended


@pytest.fixture
def here(cluster: Cluster, namespace: str) -> Namespace:
    return Namespace(cluster, namespace)


async def test_the_only_node_is_ready_and_of_the_version_that_was_built(cluster: Cluster) -> None:
    nodes = (await cluster.get("nodes"))["items"]

    assert [node["metadata"]["name"] for node in nodes] == [NODE_NAME]
    status = nodes[0]["status"]
    assert {"Ready": "True"}.items() <= {
        c["type"]: c["status"] for c in status["conditions"]
    }.items()
    assert status["nodeInfo"]["kubeletVersion"] == TOOLS["kubelet"].version


async def test_a_restricted_pod_runs_without_root_and_its_log_is_read(here: Namespace) -> None:
    await here.run(make_pod("teller", "say", "hello"))

    assert await here.kubectl("logs", "teller") == "hello\n"
    status = await here.probe("teller", "read", "/proc/1/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines())
    assert told["Uid"].split() == [str(USER_ID)] * 4
    assert told["Seccomp"] == "2"
    assert told["CapEff"] == "0" * 16


async def test_a_pod_that_asks_for_more_than_restricted_is_refused(here: Namespace) -> None:
    pod = make_pod("greedy", "hold")
    pod["spec"]["securityContext"]["runAsNonRoot"] = False

    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        await here.apply(pod)


async def test_the_data_of_a_claim_outlives_its_pod_and_goes_with_the_claim(
    here: Namespace,
) -> None:
    await here.apply(make_claim("data", size="1Gi"))
    await here.run(make_pod("first", "hold", claim="data"))
    await here.probe("first", "write", f"{DATA}/kept", "still here")
    await here.kubectl("delete", "pod", "first")

    assert (
        await here.finish(make_pod("second", "read", f"{DATA}/kept", claim="data")) == "still here"
    )

    volume = (await here.get("persistentvolumeclaim", "data"))["spec"]["volumeName"]
    directory = here.cluster.place.directory / "volumes" / volume
    assert directory.is_dir()
    await here.kubectl("delete", "pod", "second")
    await here.kubectl("delete", "persistentvolumeclaim", "data")
    await here.until("delete", f"persistentvolume/{volume}")
    assert not directory.exists()


async def test_a_sized_claim_is_full_at_its_size(here: Namespace) -> None:
    await here.apply(make_claim("small", size="2Mi", storage_class=SIZED_CLASS))
    await here.run(make_pod("filler", "hold", claim="small"))

    await here.probe("filler", "fill", f"{DATA}/fits", "1")
    with pytest.raises(CommandFailed, match="no space left on device"):
        await here.probe("filler", "fill", f"{DATA}/too-much", "2")


async def test_memory_grows_in_place_without_a_restart(here: Namespace) -> None:
    await here.run(make_pod("grower", "hold", memory="64Mi"))
    more = '{"requests": {"memory": "256Mi"}, "limits": {"memory": "256Mi"}}'
    patch = f'{{"spec": {{"containers": [{{"name": "main", "resources": {more}}}]}}}}'

    await here.kubectl("patch", "pod", "grower", "--subresource=resize", f"--patch={patch}")
    limit = "{.status.containerStatuses[0].resources.limits.memory}"
    await here.until(f"jsonpath={limit}=256Mi", "pod/grower")

    is_version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    file = "memory.max" if is_version_2 else "memory/memory.limit_in_bytes"
    assert await here.probe("grower", "read", f"/sys/fs/cgroup/{file}") == f"{256 << 20}\n"
    container = (await here.get("pod", "grower"))["status"]["containerStatuses"][0]
    assert container["restartCount"] == 0


async def test_a_pod_that_takes_more_memory_than_its_limit_is_killed_for_it(
    here: Namespace,
) -> None:
    await here.apply(make_pod("eater", "eat", "128", memory="32Mi"))

    await here.until(f"jsonpath={_ENDED}", "pod/eater")

    ended = await here.ended("eater")
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_a_pod_reaches_what_a_test_serves_at_the_nodes_address(here: Namespace) -> None:
    with here.cluster.listen(NODE_ADDRESS) as listener:
        listener.setblocking(False)
        address = f"{NODE_ADDRESS}:{listener.getsockname()[1]}"
        finishing = asyncio.create_task(here.finish(make_pod("caller", "dial", address)))
        async with asyncio.timeout(180):
            caller, _ = await asyncio.get_running_loop().sock_accept(listener)
        caller.sendall(b"from the test")
        caller.close()

        assert await finishing == "from the test"


async def test_a_service_is_reached_by_its_name(here: Namespace) -> None:
    await here.apply(make_service("greeter", port=7000))
    await here.run(make_pod("greeter", "serve", ":7000", "good day"))
    name = f"greeter.{here.name}.svc.cluster.local:7000"

    assert await here.finish(make_pod("caller", "dial", name)) == "good day\n"


async def test_a_pod_goes_on_while_the_kubelet_is_gone(here: Namespace) -> None:
    address = await here.run(make_pod("lasting", "serve", ":7000", "still there"))
    before = (await here.get("pod", "lasting"))["status"]["containerStatuses"]

    await here.cluster.stop("kubelet", signal="SIGKILL")
    try:
        await here.until("condition=Ready=Unknown", f"node/{NODE_NAME}")
        assert _read(here.cluster.connect(address, 7000)) == "still there\n"
    finally:
        await here.cluster.start("kubelet")
    await here.until("condition=Ready", f"node/{NODE_NAME}")
    await here.until("condition=Ready", "pod/lasting")
    assert (await here.get("pod", "lasting"))["status"]["containerStatuses"] == before


async def test_orders_that_make_no_sense_are_refused_with_a_sentence(cluster: Cluster) -> None:
    with pytest.raises(DaemonError, match="There is no daemon kublet; there are etcd"):
        await cluster.stop("kublet")
    with pytest.raises(DaemonError, match="kubelet runs already"):
        await cluster.start("kubelet")


async def test_the_images_of_an_archive_are_there_under_their_names(
    here: Namespace, cluster_parts: Parts, tmp_path: Path
) -> None:
    program = cluster_parts.probe.with_name("probe").read_bytes()
    archive = tmp_path / "another.tar"
    archive.write_bytes(make_archive(program, name="localhost/another:2"))

    await here.cluster.load(archive)

    await here.run(make_pod("loaded", "hold", image="localhost/another:2"))


@_builds_images
async def test_a_pod_is_known_to_the_api_server_by_its_account(
    here: Namespace, product_images: Images
) -> None:
    pod = make_pod(
        "asker",
        "-c",
        _ASK,
        here.name,
        image=product_images.control_plane.name,
        command=["python"],
        memory="256Mi",
    )
    pod["spec"]["automountServiceAccountToken"] = True

    assert (await here.finish(pod)) == f"403 system:serviceaccount:{here.name}:default\n"


@_builds_images
async def test_the_projects_own_images_run_as_restricted_pods(
    here: Namespace, product_images: Images
) -> None:
    control_plane, session_runner = product_images
    bridge = make_pod(
        "command", "--help", image=control_plane.name, command=["repobridge"], memory="256Mi"
    )
    runner = make_pod("runner", "--help", image=session_runner.name, memory="256Mi")

    assert (await here.finish(bridge)).startswith("Usage: repobridge ")
    assert (await here.finish(runner)).startswith("usage: repobridge-runner ")


def _read(connection: socket.socket) -> str:
    with connection, connection.makefile() as lines:
        return lines.read()
