"""The policy lets in who is named, and out as the spec says; the golden files have it whole."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from repobridge_operator.resources.network import make_network_policy
from tests.unit.operator.bridges import NETWORK, bridge


def _reaches(policy: dict[str, Any], address: str, port: int) -> bool:
    for rule in policy["spec"]["egress"]:
        if rule.get("ports") and port not in [each["port"] for each in rule["ports"]]:
            continue
        for peer in rule.get("to", []):
            block = peer.get("ipBlock")
            if block and ip_address(address) in ip_network(block["cidr"]):
                inside = [each for each in block.get("except", []) if _contains(each, address)]
                return not inside
    return False


def _contains(cidr: str, address: str) -> bool:
    return ip_address(address) in ip_network(cidr)


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("140.82.121.4", 443, True),
        ("140.82.121.4", 22, True),
        ("2606:50c0:8000::153", 443, True),
        ("140.82.121.4", 80, False),
        ("140.82.121.4", 53, False),
        ("10.96.0.1", 443, False),
        ("192.168.1.1", 22, False),
        ("172.20.0.1", 443, False),
        ("100.64.3.2", 443, False),
        ("169.254.169.254", 443, False),
        ("169.254.20.10", 53, True),
        ("fd00:ec2::254", 443, False),
        ("fe80::1", 443, False),
    ],
)
def test_by_default_only_what_is_public_is_reached(address: str, port: int, expected: bool) -> None:
    policy = make_network_policy(bridge(), settings=NETWORK)
    assert _reaches(policy, address, port) is expected


def test_an_empty_list_reaches_nothing() -> None:
    policy = make_network_policy(bridge({"network": {"egress": []}}), settings=NETWORK)
    assert policy["spec"]["egress"] == []
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_metrics_are_read_by_whom_the_installation_names() -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}
    settings = replace(NETWORK, metrics_from=(monitoring,))
    ingress = make_network_policy(bridge(), settings=settings)["spec"]["ingress"]
    assert ingress[1:] == [{"from": [monitoring], "ports": [{"protocol": "TCP", "port": 9464}]}]


def test_a_port_by_number_is_a_number() -> None:
    rules = [{"ports": [{"port": 8443, "endPort": 8450}, {"port": "https"}, {"protocol": "UDP"}]}]
    policy = make_network_policy(bridge({"network": {"egress": rules}}), settings=NETWORK)
    ports = policy["spec"]["egress"][0]["ports"]
    assert [each.get("port") for each in ports] == [8443, "https", None]
    assert "to" not in policy["spec"]["egress"][0]


def test_an_installation_may_have_its_name_servers_elsewhere() -> None:
    settings = replace(NETWORK, dns=())
    policy = make_network_policy(bridge(), settings=settings)
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]] == [443]
