"""Volumes on demand: a provisioner of `local` volumes, which is a process of the node.

`local` volumes, unlike hostPath ones, get the group that a pod asks for, as a cloud's disks do. Two
classes bind when the first pod comes: `local` has the disk's space, `sized` is a tmpfs of exactly
the size that was claimed, so that it can be full. Both grow with their claims, in use too.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kubernetes import aio
from kubernetes.aio.client.exceptions import ApiException

from repobridge.quantities import whole
from scripts.debian import SEARCH_PATH
from tests.cluster.addresses import NODE_NAME

PROVISIONER = "repobridge.dev/local"
DEFAULT_CLASS = "local"
SIZED_CLASS = "sized"
CLASSES_PATH = "/apis/storage.k8s.io/v1/storageclasses"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_MERGE = "application/merge-patch+json"
_WATCH_SECONDS = 60
_AGAIN_SECONDS = 0.5

Object = dict[str, Any]

_untyped: Any = aio
"""For the calls that the library leaves without types."""


def make_classes() -> list[Object]:
    """The storage classes, the default one first."""
    return [_make_class(DEFAULT_CLASS, is_default=True), _make_class(SIZED_CLASS, is_default=False)]


def make_volume(claim: Object, directory: Path) -> Object:
    """The volume for a claim whose pod was given a node."""
    metadata, spec = claim["metadata"], claim["spec"]
    on_this_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": spec["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "local": {"path": str(directory)},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [on_this_node]}]}
            },
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def volume_name(claim: Object) -> str:
    """The name of a claim's volume, and of its directory."""
    return f"pvc-{claim['metadata']['uid']}"


def wants_volume(claim: Object) -> bool:
    """Whether a claim waits for this provisioner, and its pod was given a node."""
    return (
        claim["spec"].get("storageClassName") in {DEFAULT_CLASS, SIZED_CLASS}
        and not claim["spec"].get("volumeName")
        and _SELECTED_NODE in claim["metadata"].get("annotations", {})
    )


def wants_growth(claim: Object) -> bool:
    """Whether a claim has a volume of this provisioner that is smaller than it asks for."""
    capacity = claim.get("status", {}).get("capacity", {}).get("storage")
    return (
        claim["spec"].get("storageClassName") in {DEFAULT_CLASS, SIZED_CLASS}
        and claim["spec"].get("volumeName") == volume_name(claim)
        and capacity is not None
        and whole(capacity) < whole(claim["spec"]["resources"]["requests"]["storage"])
    )


def is_done_with(volume: Object) -> bool:
    """Whether a volume of this provisioner is to be deleted with its data."""
    annotations = volume["metadata"].get("annotations", {})
    is_ours: bool = annotations.get("pv.kubernetes.io/provisioned-by") == PROVISIONER
    return (
        is_ours
        and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        and volume.get("status", {}).get("phase") == "Released"
    )


class Provisioner:
    """Makes and removes volumes below one directory; every step may be done again."""

    def __init__(self, api: aio.client.CoreV1Api, directory: Path) -> None:
        self._api = api
        self._directory = directory

    async def run(self) -> None:
        """Follows claims and volumes until it is killed."""
        async with asyncio.TaskGroup() as tasks:
            claims = self._api.list_persistent_volume_claim_for_all_namespaces
            tasks.create_task(_follow(claims, self._see_claim))
            tasks.create_task(_follow(self._api.list_persistent_volume, self._see_volume))

    async def _see_claim(self, claim: Object) -> None:
        if wants_volume(claim):
            await self._make(claim)
        elif wants_growth(claim):
            await self._grow(claim)

    async def _make(self, claim: Object) -> None:
        directory = self._directory / volume_name(claim)
        if not directory.exists():
            directory.mkdir(parents=True)
            if claim["spec"]["storageClassName"] == SIZED_CLASS:
                _mount_sized(directory, claim["spec"]["resources"]["requests"]["storage"])
        body: Any = make_volume(claim, directory)
        try:
            await self._api.create_persistent_volume(body)
        except ApiException as refusal:
            if refusal.status != 409:
                raise

    async def _grow(self, claim: Object) -> None:
        """The volume first, then what is said of it: whoever reads that finds the room there."""
        metadata, name = claim["metadata"], volume_name(claim)
        size = claim["spec"]["resources"]["requests"]["storage"]
        if claim["spec"]["storageClassName"] == SIZED_CLASS:
            _mount_sized(self._directory / name, size, again=True)
        capacity: Any = {"capacity": {"storage": size}}
        await self._api.patch_persistent_volume(name, {"spec": capacity}, _content_type=_MERGE)
        await self._api.patch_namespaced_persistent_volume_claim_status(
            metadata["name"], metadata["namespace"], {"status": capacity}, _content_type=_MERGE
        )

    async def _see_volume(self, volume: Object) -> None:
        if not is_done_with(volume):
            return
        name = volume["metadata"]["name"]
        directory = self._directory / name
        if directory.is_mount():
            subprocess.run(["umount", directory], env={"PATH": SEARCH_PATH}, check=True)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        try:
            await self._api.delete_persistent_volume(name)
        except ApiException as refusal:
            if refusal.status != 404:
                raise


def _make_class(name: str, *, is_default: bool) -> Object:
    flag = "true" if is_default else "false"
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": flag},
        },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
    }


def _mount_sized(directory: Path, quantity: str, *, again: bool = False) -> None:
    options = ("remount," if again else "mode=0755,") + f"size={whole(quantity)}"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory],
        env={"PATH": SEARCH_PATH},
        check=True,
    )


async def _follow(
    listing: Callable[..., Coroutine[Any, Any, Any]],
    see: Callable[[Object], Coroutine[Any, Any, None]],
) -> None:
    while True:
        try:
            async with _untyped.watch.Watch() as watch:
                async for event in watch.stream(listing, timeout_seconds=_WATCH_SECONDS):
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        await see(event["raw_object"])
        except (ApiException, OSError, TimeoutError) as error:
            print(f"begins again after: {error}", flush=True)  # noqa: T201 (its log is its output)
            await asyncio.sleep(_AGAIN_SECONDS)


async def _main(kubeconfig: Path, directory: Path) -> None:
    await _untyped.config.load_kube_config(str(kubeconfig))
    async with aio.client.ApiClient() as client:
        await Provisioner(aio.client.CoreV1Api(client), directory).run()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("kubeconfig", type=Path)
    arguments.add_argument("directory", type=Path)
    given = arguments.parse_args()
    asyncio.run(_main(given.kubeconfig, given.directory))
