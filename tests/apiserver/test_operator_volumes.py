"""Volumes on a real API server: how they grow, what keeps them from it, and who may have them.

The test plays the storage: it makes volumes, and says in a claim's status what a resizer would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.operators import make_operator_user, run_operator
from tests.apiserver.rest import Object, Rest
from tests.apiserver.test_operator import (
    CLAIM,
    Place,
    condition,
    in_phase,
    ready_because,
    writes,
)
from tests.fakes.fates import Running, Unschedulable
from tests.fakes.kubelet import Kubelet

_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_VOLUMES = "/api/v1/persistentvolumes"
_PENDING = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


class Storage:
    """A storage class, and the volume that one claim may have."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = f"{place.namespace}-class"

    async def make_class(self, *, expands: bool) -> None:
        """Makes the class."""
        await self.place.admin.create(
            _CLASSES,
            {
                "metadata": {"name": self.name},
                "provisioner": "example.com/none",
                "allowVolumeExpansion": expands,
            },
        )

    async def expands(self) -> None:
        """Lets the volumes of the class grow from now on."""
        await self.place.admin.merge(f"{_CLASSES}/{self.name}", {"allowVolumeExpansion": True})

    async def make_volume(self) -> None:
        """Gives the claim a volume of 10Gi, and waits until it has it."""
        claim = {"namespace": self.place.namespace, "name": CLAIM}
        await self.place.admin.create(
            _VOLUMES,
            {
                "metadata": {"name": f"{self.place.namespace}-volume"},
                "spec": {
                    "capacity": {"storage": "10Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": self.name,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": "/var/empty"},
                    "claimRef": claim,
                },
            },
        )
        await self.claim(lambda claim: bool(claim["status"].get("phase") == "Bound"))

    async def claim(self, told: Callable[[Object], bool]) -> Object:
        """The claim, once it is so."""
        found = await self.place.admin.wait_for(
            self.place.claims, CLAIM, lambda one: one is not None and told(one), seconds=60
        )
        assert found is not None
        return found

    async def asked_for(self, size: str) -> Object:
        """The claim, once it asks for so much."""
        return await self.claim(lambda one: requested(one) == size)

    async def says(self, **status: object) -> None:
        """Says in the claim's status how the growth goes."""
        await self.place.admin.merge(f"{self.place.claims}/{CLAIM}/status", {"status": status})

    async def remove(self) -> None:
        """Removes what is in no namespace."""
        listed = await self.place.admin.get(_VOLUMES)
        for volume in listed["items"]:
            if volume["spec"].get("storageClassName") == self.name:
                await self.place.admin.delete(f"{_VOLUMES}/{volume['metadata']['name']}")
        await self.place.admin.delete(f"{_CLASSES}/{self.name}")


def requested(claim: Object) -> str:
    """How much a claim asks for."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def pending(reason: str, words: str = "") -> Callable[[Object], bool]:
    """Whether a bridge says so of its volume's growth."""

    def says(bridge: Object) -> bool:
        found = condition(bridge, "UpdatePending")
        return found.get("reason") == reason and words in found["message"]

    return says


def error(kind: str, message: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "message": message}]


@pytest.fixture
def place(admin: Rest, namespace: str) -> Place:
    return Place(admin, namespace)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[Storage]:
    storage = Storage(place)
    yield storage
    await storage.remove()


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_operator_user(make_limited_user)


async def test_a_volume_grows_while_its_pod_goes_on(
    *,
    apiserver: ApiServer,
    place: Place,
    storage: Storage,
    user: User,
    kubelet: Kubelet,
    tmp_path: Path,
) -> None:
    await storage.make_class(expands=True)
    workspace = {"size": "10Gi", "storageClassName": storage.name}
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1, workspace=workspace)
        await place.until(in_phase("Ready"))
        pod = (await place.pod())["metadata"]["uid"]
        # The API server lets no claim without a volume grow: it is not even asked.
        await place.change(workspace={"size": "15Gi"})
        await place.until(pending("VolumeGrowing", "it has no volume yet"))
        await storage.make_volume()
        claim = await storage.asked_for("15Gi")
        assert claim["status"]["capacity"] == {"storage": "10Gi"}
        await place.until(pending("VolumeGrowing", "to 15Gi: its storage is at work."))
        await storage.says(conditions=error("FileSystemResizePending", _PENDING))
        await place.until(pending("VolumeGrowing", _PENDING))
        await storage.says(conditions=None, capacity={"storage": "15Gi"})
        await place.until(pending("UpToDate"))

        await place.change(workspace={"size": "20Gi"})
        await storage.asked_for("20Gi")
        await storage.says(conditions=error("ControllerResizeError", "out of room"))
        bridge = await place.until(pending("VolumeResizeFailed", "to 20Gi: out of room."))
        ready = next(c for c in bridge["status"]["conditions"] if c["type"] == "Ready")
        # Nobody serves in a pod of the stand-in for a kubelet, which may have been found out.
        assert ready["reason"] in {"Serving", "RunnerSilent"}
        await storage.says(conditions=None, capacity={"storage": "20Gi"})
        await place.until(pending("UpToDate"))
        assert (await place.pod())["metadata"]["uid"] == pod
        asked = await writes(apiserver, user)
    of_claim = [verb for verb, resource, _ in asked if resource == "persistentvolumeclaims"]
    assert of_claim == ["patch", "patch", "patch"]  # made, and grown twice


async def test_a_volume_that_may_not_grow_keeps_nothing_else_from_being_done(
    place: Place, storage: Storage, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    await storage.make_class(expands=False)
    workspace = {"size": "10Gi", "storageClassName": storage.name, "reclaim": "Delete"}
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(workspace=workspace)
        await place.until(in_phase("Asleep"))
        await storage.make_volume()
        await place.change(replicas=1, workspace={"size": "20Gi", "reclaim": "Retain"})
        refused = "to 20Gi: only dynamically provisioned pvc can be resized"
        bridge = await place.until(
            lambda one: "endpoint" in one["status"] and pending("VolumeResizeFailed", refused)(one)
        )
        assert "allowVolumeExpansion: true" in condition(bridge, "UpdatePending")["message"]
        claim = await storage.claim(lambda one: "ownerReferences" not in one["metadata"])
        assert requested(claim) == "10Gi"
        await storage.expands()
        # Asked again after a while, and at every look.
        await place.change(scaling={"idleTimeout": "31m"})
        await storage.asked_for("20Gi")


async def test_a_pod_that_waits_for_its_volume_says_for_what(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    waits = {
        "VolumePending": "pod has unbound immediate PersistentVolumeClaims.",
        "VolumeMissing": 'persistentvolumeclaim "rb-one-workspace-0" not found.',
        "VolumeZoneConflict": "1 node(s) didn't match PersistentVolume's node affinity.",
    }
    fates = {
        reason: Unschedulable(f"0/1 nodes are available: {words}")
        for reason, words in waits.items()
    }
    now = "VolumePending"
    kubelet.fate = lambda pod: fates[now]
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1)
        for now in fates:
            kubelet.reconsider()
            bridge = await place.until(ready_because(now))
            assert bridge["status"]["phase"] == "Failed"
        kubelet.fate = lambda pod: Running()
        kubelet.reconsider()
        await place.until(in_phase("Ready"))
