"""What the installation decides about every bridge's pod and network, read once by the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20
GIB = 1 << 30
IMAGE_USER = 65532
"""The user of the session-runner's image; ssh in it works for no other."""


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """What all pods of an installation have in common; a bridge's spec comes on top."""

    image: str
    """The session-runner's image, for bridges that name none."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets in the bridge's namespace with which that image is pulled."""
    user_id: int = IMAGE_USER
    """User, group and volume group of the pod; never 0."""
    base_memory_bytes: int = 256 * MIB
    """What the runner itself needs, without any session."""
    cpu_request_milli: int = 250
    """Thousandths of a processor that are reserved; there is no limit, as one would slow a wake."""
    ephemeral_request_bytes: int = 256 * MIB
    """What is reserved of the node's disk."""
    ephemeral_limit_bytes: int = 4 * GIB
    """What `/tmp`, logs and the like may take on the node's disk; beyond it the pod is evicted."""
    shutdown_grace_seconds: int = 20
    """How long the runner ends its agents after SIGTERM."""
    termination_margin_seconds: int = 15
    """How much longer than that the kubelet waits before it kills; the runner needs 10."""
    log_format: str = "json"
    """Of the runners: json or text."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Who may reach a bridge's pod, and what it reaches where its spec says nothing.

    A peer is a NetworkPolicyPeer as networking/v1 writes it.
    """

    control_plane: tuple[Mapping[str, Any], ...]
    """The peers that may call the runner: the gateway's and the operator's pods."""
    metrics_from: tuple[Mapping[str, Any], ...] = ()
    """The peers that may read its metrics; none: nobody beside the kubelet."""
    dns: tuple[Mapping[str, Any], ...] = (
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        },
        {"ipBlock": {"cidr": "169.254.20.10/32"}},
    )
    """The cluster's name servers: its DNS pods, and the cache that some clusters have per node."""
    private_ranges: tuple[str, ...] = (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
    """What is not reached by default; it includes the cloud's metadata service."""


def control_plane_in(namespace: str) -> tuple[Mapping[str, Any], ...]:
    """The peers that the chart installs into a namespace: gateway and operator."""
    return (
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "repobridge"},
                "matchExpressions": [
                    {
                        "key": "app.kubernetes.io/component",
                        "operator": "In",
                        "values": ["gateway", "operator"],
                    }
                ],
            },
        },
    )
