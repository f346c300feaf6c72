"""The API server of the tests: whole, its own, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from kubernetes.aio import client

from tests.apiserver import harness
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer, start_api_server
from tests.apiserver.kubectl import Kubectl, KubectlFailed
from tests.apiserver.rest import Object, Rest, RestError, connect

CONFIGMAPS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}]
STARTER = """
import sys, time
from tests.apiserver.harness import start_api_server
with start_api_server() as server:
    print(server.directory, *server.pids, flush=True)
    time.sleep(600)
"""


async def test_serves_the_api_as_admin(apiserver: ApiServer, kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "*", "*", "--all-namespaces") == "yes\n"
    assert (await kubectl("version")).count("v1.35.4") == 2


async def test_kubectl_says_what_it_was_refused(kubectl: Kubectl, namespace: str) -> None:
    with pytest.raises(KubectlFailed) as caught:
        await kubectl("get", "configmap", "absent", "--namespace", namespace)
    assert (caught.value.code, caught.value.stderr) == (
        1,
        'Error from server (NotFound): configmaps "absent" not found\n',
    )


async def test_kubectl_reads_standard_input(kubectl: Kubectl, namespace: str, admin: Rest) -> None:
    manifest = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{colour: blue}}
"""
    assert await kubectl("apply", "-f", "-", input=manifest) == "configmap/settings created\n"
    stored = await admin.get(f"/api/v1/namespaces/{namespace}/configmaps/settings")
    assert stored["data"] == {"colour": "blue"}


async def test_a_limited_user_may_what_its_rules_say(
    make_limited_user: MakeUser, namespace: str
) -> None:
    user = await make_limited_user("reader", CONFIGMAPS)
    async with user.client() as api:
        core = client.CoreV1Api(api)
        settings = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"))
        await core.create_namespaced_config_map(namespace, settings)
        with pytest.raises(client.ApiException) as caught:
            await core.list_namespaced_secret(namespace)
    assert caught.value.status == 403


async def test_cluster_rules_hold_in_every_namespace(make_limited_user: MakeUser) -> None:
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}]
    user = await make_limited_user("lister", cluster_rules=rules)
    async with user.rest() as rest:
        names = [one["metadata"]["name"] for one in (await rest.get("/api/v1/namespaces"))["items"]]
    assert "kube-system" in names


async def test_the_audit_log_counts_one_users_writes(
    apiserver: ApiServer, make_limited_user: MakeUser, namespace: str
) -> None:
    user = await make_limited_user("writer", CONFIGMAPS)
    before = await apiserver.audit.position()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with user.rest() as rest:
        await rest.create(path, {"metadata": {"name": "one"}})
        await rest.get(f"{path}/one")
        with pytest.raises(RestError):
            await rest.delete(f"{path}/one")
    writes = await apiserver.audit.writes_by(user.name, since=before)
    assert [(write.verb, write.resource, write.name, write.code) for write in writes] == [
        ("create", "configmaps", "one", 201),
        ("delete", "configmaps", "one", 403),
    ]
    assert {write.namespace for write in writes} == {namespace}


async def test_a_deleted_namespace_goes_with_all_that_is_in_it(admin: Rest) -> None:
    await admin.create("/api/v1/namespaces", {"metadata": {"name": "short-lived"}})
    await admin.create(
        "/api/v1/namespaces/short-lived/configmaps", {"metadata": {"name": "settings"}}
    )
    await admin.delete("/api/v1/namespaces/short-lived")
    await admin.wait_for("/api/v1/namespaces", "short-lived", lambda found: found is None)


async def test_what_an_absent_owner_left_is_collected(admin: Rest, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = await admin.create(path, {"metadata": {"name": "owner"}})
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    child = {"metadata": {"name": "child", "ownerReferences": [reference]}}
    await admin.create(path, child)
    await admin.delete(f"{path}/owner")
    await admin.wait_for(path, "child", lambda found: found is None)


async def test_waiting_in_vain_tells_the_last_state(admin: Rest, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await admin.create(path, {"metadata": {"name": "settings"}, "data": {"colour": "blue"}})
    seen: list[Object | None] = []

    def in_vain(found: Object | None) -> bool:
        seen.append(found)
        return False

    waits = (0.2, 1.0, 5.0, 25.0)  # at least until it has been looked at
    for seconds in waits:
        with pytest.raises(TimeoutError) as told:
            await admin.wait_for(path, "settings", in_vain, seconds=seconds)
        if seen:
            break
    assert "blue" in str(told.value)


async def test_an_interrupted_server_comes_back_with_its_data() -> None:
    with start_api_server() as server:
        path = "/api/v1/namespaces/default/configmaps"
        async with connect(url=server.url, ca_file=server.ca_file, token=server.token) as admin:
            await admin.create(path, {"metadata": {"name": "kept"}})
            server.interrupt()
            with pytest.raises(aiohttp.ClientConnectionError):
                await admin.get(path)
            server.resume()
            assert (await admin.get(f"{path}/kept"))["metadata"]["name"] == "kept"
        writes = await server.audit.writes_by("admin")
        assert [write.name for write in writes] == ["kept"]


def test_a_stopped_server_leaves_nothing() -> None:
    with start_api_server() as server:
        pids = server.pids
        assert len(pids) == 3
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not server.directory.exists()


def test_a_failing_test_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError), start_api_server() as server:
        raise ZeroDivisionError
    assert not any(Path(f"/proc/{pid}").exists() for pid in server.pids)
    assert not server.directory.exists()


async def test_a_killed_test_run_leaves_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        line = await asyncio.to_thread(run.stdout.readline)
        directory, *pids = line.decode().split()
        ends = [os.pidfd_open(int(pid)) for pid in pids]
        run.send_signal(signal.SIGKILL)
        async with asyncio.timeout(90):
            for end in ends:
                await _readable(end)
                os.close(end)
            while Path(directory).exists():
                await asyncio.sleep(0.05)


def test_a_taken_port_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([taken, harness.find_port()])
        monkeypatch.setattr(harness, "find_port", lambda: next(ports))
        with start_api_server() as server:
            assert not server.url.endswith(f":{taken}")
            assert server.get("/readyz") == b"ok"


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
