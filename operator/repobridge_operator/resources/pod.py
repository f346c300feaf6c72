"""The pod of an awake bridge, as the operator creates it.

`restartPolicy: Never`: a pod that dies stays dead, and the operator makes the next one. So every
death is seen, named and kept until then (the kernel's OOM killer too), there is one rule for how
soon the next one comes (deaths.py) instead of the kubelet's back-off beside ours, a cause that is
gone is tried again at once, and nothing that was drained comes back. The price is that a runner
that dies while no operator is there waits for one.

Nothing that a spec may say reaches what makes the pod safe: security contexts, the token, volumes
and labels of ours are written last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from repobridge.crd import EnvVar, ExtraVolume, RepoBridge
from repobridge_operator.resources import naming
from repobridge_operator.resources.amounts import MEMORY, make_resources
from repobridge_operator.resources.plain import as_plain
from repobridge_operator.resources.podsettings import PodSettings
from repobridge_operator.resources.runnersettings import (
    AGENT_PREFIX,
    GIT,
    GRPC_PORT,
    HOME,
    METRICS_PORT,
    RUN,
    TLS,
    VARIABLE,
    VOLUME,
    runner_settings,
)

CONTAINER = "runner"
_READABLE_BY_US = 0o400
"""With `fsGroup`, the kubelet lets that group read too."""
_RUN_SIZE = "16Mi"
_NOT_OF_THE_TEMPLATE = (naming.ANNOTATION_TEMPLATE, naming.ANNOTATION_DEATHS)


def make_pod(bridge: RepoBridge, *, settings: PodSettings, deaths: int = 0) -> dict[str, Any]:
    """The pod of a bridge that wakes; `deaths` is how many before it died young, in a row.

    It is for creating a pod, never for changing one: a live pod's memory follows its sessions.
    """
    meta, overrides = bridge.metadata, bridge.spec.pod
    metadata = naming.metadata(
        naming.pod_name(meta.name), namespace=meta.namespace, bridge=meta.name, uid=meta.uid
    )
    metadata["labels"] = {**overrides.labels, **metadata["labels"]}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": _spec(bridge, settings),
    }
    metadata["annotations"] = {
        **overrides.annotations,
        "kubectl.kubernetes.io/default-container": CONTAINER,
    }
    metadata["annotations"][naming.ANNOTATION_TEMPLATE] = template_hash(pod)
    if deaths:
        metadata["annotations"][naming.ANNOTATION_DEATHS] = str(deaths)
    return pod


def template_hash(pod: Mapping[str, Any]) -> str:
    """The hash of what a pod is made from; another one means that the pod has to be replaced.

    Memory is left out, as a live pod is resized instead, and so is what differs from one pod of
    the same template to the next.
    """
    metadata = pod["metadata"]
    annotations = metadata.get("annotations", {})
    spec = deepcopy(pod["spec"])
    for container in spec["containers"]:
        for amounts in container.get("resources", {}).values():
            amounts.pop(MEMORY, None)
    made_from = {
        "labels": metadata.get("labels", {}),
        "annotations": {k: annotations[k] for k in annotations if k not in _NOT_OF_THE_TEMPLATE},
        "spec": spec,
    }
    text = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def template_changed(pod: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """Whether a pod was made from another template than a desired one."""
    return _template(pod) != _template(desired)


def _template(pod: Mapping[str, Any]) -> str:
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(naming.ANNOTATION_TEMPLATE, ""))


def _spec(bridge: RepoBridge, settings: PodSettings) -> dict[str, Any]:
    overrides = bridge.spec.pod
    secrets = [*settings.image_pull_secrets, *(each.name for each in overrides.image_pull_secrets)]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": (
            settings.shutdown_grace_seconds + settings.termination_margin_seconds
        ),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user_id,
            "runAsGroup": settings.user_id,
            "fsGroup": settings.user_id,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(bridge, settings)],
        "volumes": _volumes(bridge),
    }
    placed = {
        "imagePullSecrets": [{"name": name} for name in dict.fromkeys(secrets)],
        "nodeSelector": dict(overrides.node_selector),
        "tolerations": [as_plain(each) for each in overrides.tolerations],
        "affinity": as_plain(overrides.affinity) if overrides.affinity else {},
        "runtimeClassName": overrides.runtime_class_name,
        "priorityClassName": overrides.priority_class_name,
    }
    return spec | {name: value for name, value in placed.items() if value}


def _container(bridge: RepoBridge, settings: PodSettings) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": bridge.spec.pod.image or settings.image,
        "imagePullPolicy": "IfNotPresent",
        "env": _environment(bridge, settings),
        "ports": [
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": make_resources(bridge, settings=settings),
        "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": MEMORY, "restartPolicy": "NotRequired"},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(bridge),
        # No wake waits for these: they are for people, and for a runner that never comes up.
        # The first second is left out: nothing answers then, and each failure is an event.
        "startupProbe": {"initialDelaySeconds": 1, **_probe(every_seconds=1, failures=120)},
        "readinessProbe": _probe(every_seconds=10, failures=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if credentials := bridge.spec.agent.credentials_secret_ref:
        container["envFrom"] = [{"prefix": AGENT_PREFIX, "secretRef": {"name": credentials.name}}]
    return container


def _probe(*, every_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/healthz", "port": "metrics"},
        "periodSeconds": every_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _environment(bridge: RepoBridge, settings: PodSettings) -> list[dict[str, Any]]:
    told = runner_settings(bridge, settings=settings)
    return [
        {"name": VARIABLE, "value": _literal(told)},
        {"name": "HOME", "value": HOME},
        *(_variable(each) for each in bridge.spec.agent.env),
    ]


def _variable(given: EnvVar) -> dict[str, Any]:
    name = AGENT_PREFIX + given.name
    if given.value_from is None:
        return {"name": name, "value": _literal(given.value or "")}
    return {"name": name, "valueFrom": as_plain(given.value_from)}


def _literal(text: str) -> str:
    """A value that reaches the container as it stands: the kubelet expands `$(NAME)` in values."""
    return text.replace("$", "$$")


def _mounts(bridge: RepoBridge) -> list[dict[str, Any]]:
    workspace: dict[str, Any] = {"name": "workspace", "mountPath": VOLUME}
    if bridge.spec.workspace.sub_path:
        workspace["subPath"] = bridge.spec.workspace.sub_path
    mounts = [
        workspace,
        {"name": "tls", "mountPath": TLS, "readOnly": True},
        {"name": "run", "mountPath": RUN},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the pod, not here
    ]
    if _git_secret(bridge):
        mounts.append({"name": "git", "mountPath": GIT, "readOnly": True})
    return mounts + [_extra_mount(each) for each in bridge.spec.pod.extra_volumes]


def _extra_mount(extra: ExtraVolume) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": _extra_name(extra), "mountPath": extra.mount_path}
    if extra.sub_path:
        mount["subPath"] = extra.sub_path
    if extra.read_only:
        mount["readOnly"] = True
    return mount


def _volumes(bridge: RepoBridge) -> list[dict[str, Any]]:
    claim = bridge.spec.workspace.existing_claim or naming.claim_name(bridge.metadata.name)
    volumes: list[dict[str, Any]] = [
        {"name": "workspace", "persistentVolumeClaim": {"claimName": claim}},
        _secret("tls", naming.tls_secret_name(bridge.metadata.name)),
        {"name": "run", "emptyDir": {"sizeLimit": _RUN_SIZE}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if name := _git_secret(bridge):
        volumes.append(_secret("git", name))
    for extra in bridge.spec.pod.extra_volumes:
        source = as_plain(extra)
        for ours in ("name", "mountPath", "subPath", "readOnly"):
            source.pop(ours, None)
        volumes.append({"name": _extra_name(extra), **source})
    return volumes


def _extra_name(extra: ExtraVolume) -> str:
    return f"extra-{extra.name}"


def _secret(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": _READABLE_BY_US}}


def _git_secret(bridge: RepoBridge) -> str:
    repository = bridge.spec.repository
    found = repository.credentials_secret_ref if repository else None
    return found.name if found else ""
