"""Bridges for the tests of the operator: one that says nothing, and one that says everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repobridge.crd import RepoBridge, parse
from repobridge_operator.resources.podsettings import (
    NetworkSettings,
    PodSettings,
    control_plane_in,
)

UID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
IMAGE = "registry.example/repobridge/session-runner:0.1.0"
SETTINGS = PodSettings(image=IMAGE)
NETWORK = NetworkSettings(control_plane=control_plane_in("repobridge-system"))

FULL: dict[str, Any] = {
    "replicas": 1,
    "repository": {
        "url": "https://git.example/acme/payments.git",
        "ref": "main",
        "credentialsSecretRef": {"name": "payments-git"},
    },
    "discord": {"channelId": "1123581321345589144"},
    "agent": {
        "model": "opus",
        "permissionMode": "acceptEdits",
        "appendSystemPrompt": "Never touch $HOME, nor $(HOME).\nBe brief.",
        "allowedTools": ["Bash(git log:*)"],
        "resume": False,
        "credentialsSecretRef": {"name": "anthropic"},
        "env": [
            {"name": "LEVEL", "value": "$(HOME) costs 5 $"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "npm"}}},
            {
                "name": "REGION",
                "valueFrom": {
                    "configMapKeyRef": {"name": "site", "key": "region", "optional": True}
                },
            },
        ],
    },
    "scaling": {"sessionsPerPod": 2, "memoryPerSession": "512Mi"},
    "workspace": {
        "size": "20Gi",
        "storageClassName": "fast",
        "subPath": "acme/payments",
        "reclaim": "Delete",
    },
    "resources": {
        "requests": {"cpu": "1", "example.com/gpu": "1"},
        "limits": {"cpu": "2", "example.com/gpu": "1", "memory": "3Gi"},
    },
    "pod": {
        "image": "registry.example/acme/runner:2",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "agents"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {"key": "zone", "operator": "In", "values": ["a", "b"]}
                            ]
                        }
                    ]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 10,
                        "podAffinityTerm": {
                            "labelSelector": {"matchLabels": {"app": "batch"}},
                            "topologyKey": "kubernetes.io/hostname",
                        },
                    }
                ]
            },
        },
        "runtimeClassName": "gvisor",
        "priorityClassName": "interactive",
        "labels": {"example.com/team": "payments"},
        "annotations": {"example.com/owner": "payments@example.com"},
        "extraVolumes": [
            {
                "name": "ca",
                "mountPath": "/etc/company",
                "readOnly": True,
                "configMap": {
                    "name": "company-ca",
                    "items": [{"key": "ca.crt", "path": "ca.pem"}],
                },
            },
            {
                "name": "cache",
                "mountPath": "/var/cache/npm",
                "subPath": "npm",
                "persistentVolumeClaim": {"claimName": "caches"},
            },
            {"name": "scratch", "mountPath": "/scratch", "emptyDir": {"sizeLimit": "2Gi"}},
        ],
    },
    "network": {
        "egress": [
            {
                "to": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24"]}}],
                "ports": [{"port": 443}, {"protocol": "UDP", "port": "dns"}],
            },
            {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "proxy"}}}]},
        ]
    },
}


def bridge(
    spec: Mapping[str, Any] | None = None,
    *,
    name: str = "payments",
    status: Mapping[str, Any] | None = None,
    generation: int = 1,
) -> RepoBridge:
    """A bridge as the API server would have it."""
    metadata = {"name": name, "namespace": "team", "uid": UID, "generation": generation}
    return parse({"metadata": metadata, "spec": spec or {}, "status": status or {}})
