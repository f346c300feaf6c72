"""The operator as a process on a real API server: what it makes, mends, and leaves alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repobridge_operator import rbac
from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.operators import Operator, make_operator_user, run_operator
from tests.apiserver.rest import Object, Rest
from tests.fakes.fates import Ended, Evicted, Running, image_missing
from tests.fakes.kubelet import Kubelet

POD, CLAIM, SECRET, POLICY = "rb-one-0", "rb-one-workspace-0", "rb-one-tls", "rb-one"
LEASE = "repobridge-operator"


class Place:
    """A namespace with its bridges and what is made for them."""

    def __init__(self, admin: Rest, namespace: str) -> None:
        self.admin = admin
        self.namespace = namespace
        self.bridges = f"/apis/repobridge.dev/v1alpha1/namespaces/{namespace}/repobridges"
        core = f"/api/v1/namespaces/{namespace}"
        self.pods, self.secrets = f"{core}/pods", f"{core}/secrets"
        self.claims = f"{core}/persistentvolumeclaims"
        self.policies = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self.quotas = f"{core}/resourcequotas"
        self.events = f"{core}/events"

    async def make(self, name: str = "one", **spec: object) -> Object:
        """Makes a bridge."""
        return await self.admin.create(
            self.bridges,
            {
                "apiVersion": "repobridge.dev/v1alpha1",
                "kind": "RepoBridge",
                "metadata": {"name": name},
                "spec": spec,
            },
        )

    async def change(self, name: str = "one", **spec: object) -> None:
        """Changes a bridge's spec."""
        await self.admin.merge(f"{self.bridges}/{name}", {"spec": spec})

    async def scale(self, replicas: int, name: str = "one") -> None:
        """Wishes as everyone may: through /scale."""
        await self.admin.merge(f"{self.bridges}/{name}/scale", {"spec": {"replicas": replicas}})

    async def until(self, told: Callable[[Object], bool], name: str = "one") -> Object:
        """The bridge once its status says so."""
        found = await self.admin.wait_for(
            self.bridges, name, lambda one: one is not None and told(one), seconds=120
        )
        assert found is not None
        return found

    async def pod(self, *, other_than: str = "", name: str = POD) -> Object:
        """The bridge's pod, or its successor."""
        found = await self.admin.wait_for(
            self.pods,
            name,
            lambda pod: pod is not None and pod["metadata"]["uid"] != other_than,
            seconds=120,
        )
        assert found is not None
        return found


def in_phase(phase: str) -> Callable[[Object], bool]:
    return lambda bridge: bool(bridge.get("status", {}).get("phase") == phase)


def condition(bridge: Object, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in bridge.get("status", {}).get("conditions", []):
        if each["type"] == kind:
            found = each
    return found


def ready_because(reason: str) -> Callable[[Object], bool]:
    return lambda bridge: bool(condition(bridge, "Ready").get("reason") == reason)


@pytest.fixture
def place(admin: Rest, namespace: str) -> Place:
    return Place(admin, namespace)


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_operator_user(make_limited_user)


async def writes(apiserver: ApiServer, user: User, *, since: int = 0) -> list[tuple[str, str, str]]:
    """What the operator asked the API server to change, beside its Lease and its CA."""
    own = {"leases", "secrets"}
    return [
        (one.verb, one.resource, one.name)
        for one in await apiserver.audit.writes_by(user.name, since=since)
        if one.resource not in own or one.name.startswith("rb-")
    ]


async def test_a_bridge_gets_what_its_pod_needs_each_owned_and_without_finalizers(
    apiserver: ApiServer, place: Place, user: User, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        made = await place.make(workspace={"reclaim": "Delete"})
        bridge = await place.until(in_phase("Asleep"))
        asked = await writes(apiserver, user)
    owner = [
        {
            "apiVersion": "repobridge.dev/v1alpha1",
            "kind": "RepoBridge",
            "name": "one",
            "uid": made["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    for collection, name in (
        (place.secrets, SECRET),
        (place.claims, CLAIM),
        (place.policies, POLICY),
    ):
        found = await place.admin.get(f"{collection}/{name}")
        assert found["metadata"]["ownerReferences"] == owner
        assert found["metadata"].get("finalizers", []) in ([], ["kubernetes.io/pvc-protection"])
    assert "finalizers" not in bridge["metadata"]
    assert "annotations" not in bridge["metadata"]
    assert [condition(bridge, kind)["status"] for kind in ("Accepted", "Ready")] == [
        "True",
        "False",
    ]
    assert sorted(asked) == [
        ("patch", "networkpolicies", POLICY),
        ("patch", "persistentvolumeclaims", CLAIM),
        ("patch", "repobridges/status", "one"),
        ("patch", "secrets", SECRET),
    ]
    assert (await place.admin.get(place.pods))["items"] == []


async def test_the_wish_makes_a_pod_and_its_address_is_told_before_it_is_ready(
    apiserver: ApiServer, place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.fate = lambda pod: Running(ready=False)
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make()
        await place.until(in_phase("Asleep"))
        await place.scale(1)
        bridge = await place.until(lambda one: "endpoint" in one.get("status", {}))
        assert bridge["status"]["phase"] == "Waking"
        pod = await place.pod()
        assert bridge["status"]["endpoint"] == {
            "podName": POD,
            "podUID": pod["metadata"]["uid"],
            "address": pod["status"]["podIP"],
            "port": 7443,
        }
        kubelet.fate = lambda pod: Running()
        kubelet.reconsider()
        bridge = await place.until(in_phase("Ready"))
        assert bridge["status"]["replicas"] == 1
        asked = await writes(apiserver, user)
    assert len(asked) <= 8, asked
    assert [each for each in asked if each[1] == "pods"] == [("create", "pods", POD)]


async def test_a_stable_bridge_is_never_written_to_nor_by_a_new_operator(
    apiserver: ApiServer, place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.address = lambda pod: "127.0.0.1"
    async with run_operator(
        user, tmp_path, namespace=place.namespace, resync_seconds=0.3
    ) as operator:
        await operator.leads()
        await place.make("asleep", discord={"channelId": "112358132134558914"})
        await place.make("one", replicas=1, network={"egress": []})
        await place.until(in_phase("Asleep"), "asleep")
        # Nobody serves there: that is told once, too.
        await place.until(ready_because("RunnerSilent"))
        await operator.looks(4)
        since = await apiserver.audit.position()
        await operator.looks(10)
        assert await operator.terminate() == 0
    async with run_operator(
        user, tmp_path, namespace=place.namespace, resync_seconds=0.3
    ) as operator:
        await operator.leads()
        await operator.looks(10)
        assert await writes(apiserver, user, since=since) == []


async def test_a_pod_that_is_deleted_or_evicted_or_dies_is_replaced_at_once(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1)
        await place.until(in_phase("Ready"))
        first = (await place.pod())["metadata"]["uid"]
        await place.admin.delete(f"{place.pods}/{POD}")
        second = (await place.pod(other_than=first))["metadata"]["uid"]
        for fate in (Evicted(), Ended(exit_code=1)):
            gone = second
            kubelet.fate = lambda pod, gone=gone, fate=fate: (  # type: ignore[misc]
                fate if pod["metadata"]["uid"] == gone else Running()
            )
            kubelet.reconsider()
            second = (await place.pod(other_than=gone))["metadata"]["uid"]
        await place.until(
            lambda one: in_phase("Ready")(one) and one["status"]["endpoint"]["podUID"] == second
        )


async def test_a_pod_that_keeps_dying_is_tried_less_often_and_says_so(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.fate = lambda pod: Ended(exit_code=7)
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1)
        bridge = await place.until(ready_because("Crashing"))
        assert bridge["status"]["phase"] == "Failed"
        dead = await place.pod()
        assert dead["metadata"]["annotations"]["repobridge.dev/deaths"] == "3"
        told = await operator.logged("pod deleted", where=lambda line: line["ending"] == "Finished")
        assert told["bridge"] == f"{place.namespace}/one"
        kubelet.fate = lambda pod: Running()
        await place.pod(other_than=dead["metadata"]["uid"])
        await place.until(in_phase("Ready"))
        events = (await place.admin.get(place.events))["items"]
        assert {one["reason"] for one in events if one["involvedObject"]["name"] == "one"} == {
            "PodFailed",
            "Crashing",
        }


async def test_a_changed_template_waits_for_idleness_and_never_for_a_pod_that_does_not_run(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.fate = lambda pod: image_missing("example.test/runner:1")
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1)
        await place.until(ready_because("ImagePullFailed"))
        stuck = (await place.pod())["metadata"]["uid"]
        kubelet.fate = lambda pod: Running()
        await place.change(pod={"image": "example.test/runner:2"})
        running = await place.pod(other_than=stuck)
        assert running["spec"]["containers"][0]["image"] == "example.test/runner:2"
        await place.until(in_phase("Ready"))
        await place.change(pod={"image": "example.test/runner:3"})
        bridge = await place.until(
            lambda one: condition(one, "UpdatePending").get("status") == "True"
        )
        assert condition(bridge, "UpdatePending")["reason"] == "TemplateChanged"
        same = await place.pod()
        assert same["metadata"]["uid"] == running["metadata"]["uid"]
        await place.admin.delete(f"{place.pods}/{POD}")
        taken = await place.pod(other_than=running["metadata"]["uid"])
        assert taken["spec"]["containers"][0]["image"] == "example.test/runner:3"
        await place.until(lambda one: condition(one, "UpdatePending").get("status") == "False")


async def test_a_bridge_is_deleted_with_nobody_there_and_a_retained_workspace_stays(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1)
        await place.make("two", workspace={"reclaim": "Delete"})
        await place.until(in_phase("Ready"))
        await place.until(in_phase("Asleep"), "two")
        operator.kill()
    for name in ("one", "two"):
        await place.admin.delete(f"{place.bridges}/{name}")
    gone = [
        (place.bridges, "one"),
        (place.pods, POD),
        (place.secrets, SECRET),
        (place.policies, POLICY),
        (place.claims, "rb-two-workspace-0"),
    ]
    for collection, name in gone:
        await place.admin.wait_for(collection, name, lambda found: found is None, seconds=120)
    assert (await place.admin.get(f"{place.claims}/{CLAIM}"))["metadata"]["name"] == CLAIM


async def test_the_claim_follows_the_spec_while_asleep(
    place: Place, user: User, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(workspace={"reclaim": "Delete"})
        await place.until(in_phase("Asleep"))
        await place.change(workspace={"reclaim": "Retain"})
        await place.admin.wait_for(
            place.claims,
            CLAIM,
            lambda claim: claim is not None and "ownerReferences" not in claim["metadata"],
        )
        await place.change(workspace={"reclaim": "Delete"})
        await place.admin.wait_for(
            place.claims,
            CLAIM,
            lambda claim: claim is not None and "ownerReferences" in claim["metadata"],
        )


async def test_what_others_change_or_delete_is_put_right(
    place: Place, user: User, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make()
        await place.until(in_phase("Asleep"))
        path = f"{place.policies}/{POLICY}"
        before = (await place.admin.get(path))["spec"]
        await place.admin.merge(path, {"spec": {"egress": [{}]}})
        await place.admin.wait_for(
            place.policies, POLICY, lambda one: one is not None and one["spec"] == before
        )
        await place.admin.delete(path)
        await place.admin.wait_for(place.policies, POLICY, lambda one: one is not None)


async def test_the_second_bridge_on_a_channel_waits_for_the_first_to_go(
    place: Place, user: User, tmp_path: Path
) -> None:
    channel = {"channelId": "112358132134558914"}
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make("one", discord=channel)
        await place.until(in_phase("Asleep"))
        await place.make("two", discord=channel, replicas=1)
        bridge = await place.until(in_phase("Failed"), "two")
        accepted = condition(bridge, "Accepted")
        assert (accepted["status"], accepted["reason"]) == ("False", "ChannelTaken")
        assert (await place.admin.get(place.pods))["items"] == []
        await place.admin.delete(f"{place.bridges}/one")
        await place.until(in_phase("Waking"), "two")
        await place.pod(name="rb-two-0")


async def test_a_quota_is_told_and_waited_for_while_other_bridges_go_on(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await place.admin.create(place.quotas, quota)
    await place.admin.wait_for(
        place.quotas, "none", lambda one: one is not None and "hard" in one.get("status", {})
    )
    async with run_operator(
        user, tmp_path, namespace=place.namespace, retry_cap_seconds=1.0
    ) as operator:
        await operator.leads()
        await place.make(replicas=1)
        await place.until(ready_because("QuotaExceeded"))
        await place.make("two")
        await place.until(in_phase("Asleep"), "two")
        await place.admin.delete(f"{place.quotas}/none")
        await place.until(in_phase("Ready"))


async def test_an_object_of_our_name_that_is_anothers_is_never_touched(
    place: Place, user: User, tmp_path: Path
) -> None:
    theirs = {"metadata": {"name": SECRET}, "stringData": {"mine": secrets.token_hex(4)}}
    before = await place.admin.create(place.secrets, theirs)
    async with run_operator(
        user, tmp_path, namespace=place.namespace, retry_cap_seconds=1.0
    ) as operator:
        await operator.leads()
        await place.make(replicas=1)
        await place.until(ready_because("NameTaken"))
        assert await place.admin.get(f"{place.secrets}/{SECRET}") == before
        assert (await place.admin.get(place.pods))["items"] == []
        await place.admin.delete(f"{place.secrets}/{SECRET}")
        await place.pod()


async def test_without_a_list_of_namespaces_all_are_served(
    *,
    place: Place,
    admin: Rest,
    make_limited_user: MakeUser,
    install_crd: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    install_crd(FILE)
    user = await make_limited_user("operator", rbac.own_rules(), cluster_rules=rbac.served_rules())
    other = f"{place.namespace}-too"
    await admin.create("/api/v1/namespaces", {"metadata": {"name": other}})
    async with run_operator(user, tmp_path, namespace=place.namespace, namespaces=[]) as operator:
        await operator.leads()
        for each in (place, Place(admin, other)):
            await each.make()
            await each.until(in_phase("Asleep"))
    await admin.delete(f"/api/v1/namespaces/{other}")


async def test_it_ends_politely_when_asked_also_while_it_waits_for_the_lease(
    place: Place, user: User, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as first:
        await first.leads()
        async with run_operator(user, tmp_path, namespace=place.namespace) as second:
            await second.logged("lease holder seen")
            assert await _ended(second) == 0
        assert await _ended(first) == 0
    async with run_operator(user, tmp_path, namespace=place.namespace) as third:
        await third.leads()  # the Lease was released, not left to run out


async def _ended(operator: Operator) -> int:
    code = await operator.terminate()
    assert operator.lines()[-1]["msg"] == "operator stopped"
    return code


async def test_an_agent_that_no_runner_runs_is_refused_and_others_go_on(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        agent = {"type": "command", "command": ["/bin/agent"]}
        await place.make("odd", replicas=1, agent=agent)
        await place.make("one", replicas=1)
        await place.until(in_phase("Ready"))
        odd = await place.until(lambda one: bool(condition(one, "Accepted")), name="odd")
        accepted = condition(odd, "Accepted")
        assert (accepted["status"], accepted["reason"]) == ("False", "AgentNotServed")
        pods = (await place.admin.get(place.pods))["items"]
        assert [pod["metadata"]["name"] for pod in pods] == [POD]
