"""Where a bridge's pod may connect to: networking/v1's egress rules, bounded."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from repobridge.crd_affinity import LabelSelector
from repobridge.crd_base import IntOrString, Model, Rule


def _is_range(text: str) -> bool:
    address, _, length = text.partition("/")
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    # What Kubernetes does not take: a mask in dots, zones, and IPv4 in the clothes of IPv6.
    mapped = isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped
    return length == str(network.prefixlen) and "%" not in address and not mapped


Cidr = Annotated[
    str,
    Field(max_length=43),
    Rule(
        cel="isCIDR(self) && cidr(self) == cidr(self).masked()",
        message="must be a range of addresses such as 192.0.2.0/24 or 2001:db8::/32, with no bits"
        " beyond its mask",
        holds=_is_range,
    ),
]


class IpBlock(Model):
    """A range of addresses."""

    cidr: Cidr
    """The range."""
    except_: Annotated[tuple[Cidr, ...], Field(max_length=8, alias="except")] = ()
    """Ranges in it that are left out."""


class EgressPeer(Model):
    """Something to connect to."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
            message="must have either ipBlock, or podSelector, namespaceSelector or both",
            holds=lambda p: (
                (p.ip_block is None) != (p.pod_selector is None and p.namespace_selector is None)
            ),
        ),
    )
    ip_block: IpBlock | None = None
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None


class Protocol(StrEnum):
    """A transport protocol."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


_PORT_NAME, _PORT_NAME_LENGTH = "[a-z0-9-]*[a-z][a-z0-9-]*", 15


def _is_port(port: int | str) -> bool:
    if isinstance(port, int):
        return 1 <= port <= 65535
    return len(port) <= _PORT_NAME_LENGTH and re.fullmatch(_PORT_NAME, port) is not None


class EgressPort(Model):
    """A port, or a range of ports."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.endPort) || (has(self.port) && type(self.port) == int"
            " && self.port <= self.endPort)",
            message="endPort ends a range that begins with port: a number that is not above it",
            holds=lambda p: (
                p.end_port is None or (isinstance(p.port, int) and p.port <= p.end_port)
            ),
        ),
    )
    protocol: Protocol = Protocol.TCP
    """TCP, UDP or SCTP."""
    port: (
        Annotated[
            int | str,
            IntOrString(_PORT_NAME_LENGTH),
            Rule(
                cel="type(self) == int ? self >= 1 && self <= 65535"
                f" : self.matches('^{_PORT_NAME}$')",
                message="must be a port: a number from 1 to 65535, or a name such as https",
                holds=_is_port,
            ),
        ]
        | None
    ) = None
    """Its number or, for pods, its name; absent: every port."""
    end_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The last one of a range that begins with port."""


class EgressRule(Model):
    """Where the pod may connect to, as networking/v1 says it; empty: anywhere."""

    to: Annotated[tuple[EgressPeer, ...], Field(max_length=16)] = ()
    """To whom; absent: to anyone."""
    ports: Annotated[tuple[EgressPort, ...], Field(max_length=8)] = ()
    """At which ports; absent: at all."""


MOST_PEERS = 16
"""Of all rules together: with their selectors they are the largest part of a spec."""

Egress = Annotated[
    tuple[EgressRule, ...],
    Field(max_length=12),
    Rule(
        cel=f"self.map(rule, has(rule.to) ? size(rule.to) : 0).sum() <= {MOST_PEERS}",
        message=f"names more than {MOST_PEERS} peers in all: join ranges of addresses, or make a"
        " NetworkPolicy of your own beside the bridge's",
        holds=lambda rules: sum(len(rule.to) for rule in rules) <= MOST_PEERS,
    ),
]
