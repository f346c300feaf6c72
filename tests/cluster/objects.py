"""Objects that tests of the node apply: restricted pods of the probe image, claims, Services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.cluster.probe_image import PROBE_IMAGE

USER_ID = 10001
DATA = "/data"


def make_pod(
    name: str,
    *arguments: str,
    image: str = PROBE_IMAGE,
    command: Sequence[str] = (),
    claim: str | None = None,
    memory: str = "64Mi",
) -> dict[str, Any]:
    """A pod that restricted Pod Security admits; a claim is mounted at `DATA`.

    A command takes the place of the image's own entry.
    """
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(arguments),
        "resources": {"requests": {"memory": memory}, "limits": {"memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if command:
        container["command"] = list(command)
    if claim is not None:
        container["volumeMounts"] = [{"name": "data", "mountPath": DATA}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


def make_claim(name: str, *, size: str, storage_class: str | None = None) -> dict[str, Any]:
    """A claim of a class, or of the default one."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def make_service(name: str, *, port: int) -> dict[str, Any]:
    """A Service for the pod of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }
