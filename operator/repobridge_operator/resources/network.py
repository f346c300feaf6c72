"""Who may reach a bridge's pod, and what it may reach: nobody and nothing but what is said here."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from repobridge.crd import EgressRule, RepoBridge
from repobridge_operator.resources import naming
from repobridge_operator.resources.plain import as_plain
from repobridge_operator.resources.podsettings import NetworkSettings
from repobridge_operator.resources.runnersettings import GRPC_PORT, METRICS_PORT

_HTTPS, _SSH, _DNS = 443, 22, 53


def make_network_policy(bridge: RepoBridge, *, settings: NetworkSettings) -> dict[str, Any]:
    """The NetworkPolicy of a bridge's pods; it is there before the pod, and while it sleeps."""
    meta, given = bridge.metadata, bridge.spec.network.egress
    ingress = [{"from": _plain(settings.control_plane), "ports": [_port(GRPC_PORT)]}]
    if settings.metrics_from:  # an empty list would mean anyone
        ingress.append({"from": _plain(settings.metrics_from), "ports": [_port(METRICS_PORT)]})
    egress = _default_egress(settings) if given is None else [_egress(each) for each in given]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": naming.metadata(
            naming.policy_name(meta.name),
            namespace=meta.namespace,
            bridge=meta.name,
            uid=meta.uid,
        ),
        "spec": {
            "podSelector": {"matchLabels": naming.pod_selector(meta.uid)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _default_egress(settings: NetworkSettings) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    if settings.dns:
        ports = [_port(_DNS, "UDP"), _port(_DNS)]
        rules.append({"to": _plain(settings.dns), "ports": ports})
    public = [_everywhere_but(settings.private_ranges, version) for version in (4, 6)]
    rules.append({"to": public, "ports": [_port(_HTTPS), _port(_SSH)]})
    return rules


def _everywhere_but(ranges: tuple[str, ...], version: int) -> dict[str, Any]:
    block: dict[str, Any] = {"cidr": "0.0.0.0/0" if version == 4 else "::/0"}
    if left_out := [each for each in ranges if ip_network(each).version == version]:
        block["except"] = left_out
    return {"ipBlock": block}


def _egress(rule: EgressRule) -> dict[str, Any]:
    plain = as_plain(rule)
    for port in plain.get("ports", []):
        # A text of digits would be taken for the name of a port.
        if str(port.get("port", "")).isdigit():
            port["port"] = int(port["port"])
    return plain


def _port(number: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"protocol": protocol, "port": number}


def _plain(peers: tuple[Mapping[str, Any], ...]) -> list[dict[str, Any]]:
    return [dict(peer) for peer in peers]
