"""The stand-in for a node: what it writes is what the API server takes from a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apiserver.harness import start_api_server
from tests.apiserver.rest import Object, Rest, connect
from tests.fakes.fates import (
    Ended,
    Evicted,
    Fate,
    Note,
    Running,
    Unschedulable,
    Waiting,
    image_missing,
    mount_failed,
    secret_missing,
)
from tests.fakes.kubelet import Kubelet, run_kubelet


@pytest.fixture
def pods(namespace: str) -> str:
    """The collection."""
    return f"/api/v1/namespaces/{namespace}/pods"


def make_pod(name: str = "one") -> Object:
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "runner",
                    "image": "example.test/runner:1",
                    "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}},
                }
            ],
        },
    }


def is_in_phase(phase: str) -> Callable[[Object | None], bool]:
    return lambda pod: pod is not None and pod["status"]["phase"] == phase


def conditions(pod: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in pod["status"]["conditions"]}


async def await_pod(admin: Rest, pods: str, condition: Callable[[Object | None], bool]) -> Object:
    found = await admin.wait_for(pods, "one", condition)
    assert found is not None
    return found


async def events(admin: Rest, pods: str, *, reason: str) -> list[tuple[str, str, str]]:
    """Waits for an event, then returns all of them of that reason."""
    path = pods.removesuffix("pods") + "events"
    found: list[Object] = []
    while not found:
        found = (await admin.get(path, fieldSelector=f"reason={reason}"))["items"]
    return [(one["involvedObject"]["name"], one["type"], one["message"]) for one in found]


async def test_a_pod_runs(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    await admin.create(pods, make_pod())
    pod = await await_pod(admin, pods, is_in_phase("Running"))
    assert pod["spec"]["nodeName"] == kubelet.name
    assert pod["status"]["podIP"] == "10.88.0.2"
    assert conditions(pod) == {
        "PodScheduled": "True",
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "ContainersReady": "True",
        "Ready": "True",
    }
    (container,) = pod["status"]["containerStatuses"]
    assert (container["name"], container["ready"], list(container["state"])) == (
        "runner",
        True,
        ["running"],
    )


async def test_each_pod_has_an_address_of_its_own(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    for name in ("one", "two"):
        await admin.create(pods, make_pod(name))
    found = [await admin.wait_for(pods, name, is_in_phase("Running")) for name in ("one", "two")]
    assert len({pod["status"]["podIP"] for pod in found if pod}) == 2


async def test_an_address_may_be_chosen(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    kubelet.address = lambda pod: "127.0.0.7"
    await admin.create(pods, make_pod())
    pod = await await_pod(admin, pods, is_in_phase("Running"))
    assert pod["status"]["podIPs"] == [{"ip": "127.0.0.7"}]


async def test_a_deleted_pod_ends_and_goes(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    await admin.create(pods, make_pod())
    await await_pod(admin, pods, is_in_phase("Running"))
    kubelet.removes_pods = False
    await admin.delete(f"{pods}/one", grace_seconds=600)
    pod = await await_pod(admin, pods, lambda pod: "deletionTimestamp" in (pod or {})["metadata"])
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 600
    kubelet.removes_pods = True
    kubelet.reconsider()
    await admin.wait_for(pods, "one", lambda pod: pod is None)


@pytest.mark.parametrize(
    ("fate", "reasons"),
    [
        (image_missing("example.test/runner:1"), ("ImagePullBackOff", "Failed")),
        (secret_missing("anthropic"), ("CreateContainerConfigError", "Failed")),
        (mount_failed("tls", 'secret "x" not found'), ("ContainerCreating", "FailedMount")),
    ],
)
async def test_a_waiting_pod_says_why(
    admin: Rest, pods: str, kubelet: Kubelet, fate: Waiting, reasons: tuple[str, str]
) -> None:
    waiting, note = reasons
    kubelet.fate = lambda pod: fate
    await admin.create(pods, make_pod())
    pod = await await_pod(
        admin, pods, lambda pod: bool(pod and pod["status"].get("containerStatuses"))
    )
    assert pod["status"]["phase"] == "Pending"
    told: Any = {"reason": waiting, **({"message": fate.message} if fate.message else {})}
    assert pod["status"]["containerStatuses"][0]["state"] == {"waiting": told}
    assert fate.event is not None
    assert await events(admin, pods, reason=note) == [("one", "Warning", fate.event.message)]


async def test_an_unschedulable_pod_is_bound_once_there_is_room(
    admin: Rest, pods: str, kubelet: Kubelet
) -> None:
    fate: Fate = Unschedulable()
    kubelet.fate = lambda pod: fate
    await admin.create(pods, make_pod())
    pod = await await_pod(admin, pods, lambda pod: bool(pod and pod["status"].get("conditions")))
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    message = "0/1 nodes are available: 1 Insufficient memory."
    assert await events(admin, pods, reason="FailedScheduling") == [("one", "Warning", message)]
    fate = Running()
    kubelet.reconsider()
    pod = await await_pod(admin, pods, is_in_phase("Running"))
    assert conditions(pod)["PodScheduled"] == "True"


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [
        (Ended(), ("Succeeded", "Completed")),
        (Ended(1), ("Failed", "Error")),
        (Ended(137, "OOMKilled"), ("Failed", "OOMKilled")),
    ],
)
async def test_a_pod_ends_for_good(
    admin: Rest, pods: str, kubelet: Kubelet, fate: Ended, outcome: tuple[str, str]
) -> None:
    phase, reason = outcome
    await admin.create(pods, make_pod())
    await await_pod(admin, pods, is_in_phase("Running"))
    kubelet.fate = lambda pod: fate
    kubelet.reconsider()
    pod = await await_pod(admin, pods, is_in_phase(phase))
    (container,) = pod["status"]["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (fate.exit_code, reason)
    assert conditions(pod)["Ready"] == "False"
    kubelet.fate = lambda pod: Running()
    kubelet.reconsider()
    await admin.create(pods, make_pod("two"))
    await admin.wait_for(pods, "two", is_in_phase("Running"))
    assert (await admin.get(f"{pods}/one"))["status"]["phase"] == phase


async def test_an_evicted_pod_says_so(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    await admin.create(pods, make_pod())
    await await_pod(admin, pods, is_in_phase("Running"))
    kubelet.fate = lambda pod: Evicted()
    kubelet.reconsider()
    pod = await await_pod(admin, pods, is_in_phase("Failed"))
    assert (pod["status"]["reason"], conditions(pod)["DisruptionTarget"]) == ("Evicted", "True")


async def test_resources_are_changed_in_place(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    await admin.create(pods, make_pod())
    started = await await_pod(admin, pods, is_in_phase("Running"))
    await resize(admin, pods, "128Mi")
    pod = await await_pod(admin, pods, lambda pod: pod is not None and limit(pod) == "128Mi")
    (before,) = started["status"]["containerStatuses"]
    (after,) = pod["status"]["containerStatuses"]
    assert (after["state"], after["restartCount"]) == (before["state"], 0)


async def test_a_full_node_puts_a_resize_off(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    kubelet.fate = lambda pod: Running(resizes=False)
    await admin.create(pods, make_pod())
    await await_pod(admin, pods, is_in_phase("Running"))
    await resize(admin, pods, "128Mi")
    pod = await await_pod(
        admin, pods, lambda pod: pod is not None and "PodResizePending" in conditions(pod)
    )
    assert limit(pod) == "64Mi"


async def test_a_standing_pod_is_written_once(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    await admin.create(pods, make_pod())
    before = await await_pod(admin, pods, is_in_phase("Running"))
    for _ in range(3):
        kubelet.reconsider()
    await admin.create(pods, make_pod("two"))
    await admin.wait_for(pods, "two", is_in_phase("Running"))
    after = await admin.get(f"{pods}/one")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_two_notes_are_two_events(admin: Rest, pods: str, kubelet: Kubelet) -> None:
    await admin.create(pods, make_pod())
    await await_pod(admin, pods, is_in_phase("Running"))
    normal = Note("Started", "Started container runner", type="Normal")
    assert await events(admin, pods, reason="Started") == [("one", "Normal", normal.message)]


async def test_a_node_goes_on_after_an_outage_of_the_api() -> None:
    with start_api_server() as server:
        path = "/api/v1/namespaces/default"
        async with connect(url=server.url, ca_file=server.ca_file, token=server.token) as admin:
            await admin.wait_for(f"{path}/serviceaccounts", "default", lambda one: one is not None)
            async with run_kubelet(admin, namespace="default"):
                await admin.create(f"{path}/pods", make_pod())
                await admin.wait_for(f"{path}/pods", "one", is_in_phase("Running"))
                server.interrupt()
                server.resume()
                # Anew: a connection from before would fail its first request.
                async with connect(
                    url=server.url, ca_file=server.ca_file, token=server.token
                ) as again:
                    await again.create(f"{path}/pods", make_pod("two"))
                    await again.wait_for(f"{path}/pods", "two", is_in_phase("Running"))


async def resize(admin: Rest, pods: str, memory: str) -> None:
    amounts = {"requests": {"memory": memory}, "limits": {"memory": memory}}
    pod = await admin.get(f"{pods}/one")
    pod["spec"]["containers"][0]["resources"] = amounts
    await admin.replace(f"{pods}/one/resize", pod)


def limit(pod: Object) -> str:
    (container,) = pod["status"]["containerStatuses"]
    memory: str = container["resources"]["limits"]["memory"]
    return memory
