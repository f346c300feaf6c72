"""Mutual TLS between the parts: who is who, and gRPC credentials that follow rotated files.

A bridge's runner has the DNS name `<uid>.bridge.repobridge.dev`; gateway and operator carry their
role as a URI. Whoever dials an address verifies that name and not the address, so that an address
that went to another pod never receives this bridge's prompts. Certificates are made elsewhere
(`certificates`), so that a runner need not load what makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from ipaddress import ip_address
from typing import Any, cast
from uuid import UUID

import grpc

from repobridge.tls_files import TlsDirectory, TlsMaterial

ROLE_GATEWAY = "repobridge://role/gateway"
ROLE_OPERATOR = "repobridge://role/operator"
BRIDGE_DOMAIN = "bridge.repobridge.dev"


class Role(Enum):
    """What a certificate's holder is; the value is the certificate's URI."""

    GATEWAY = ROLE_GATEWAY
    OPERATOR = ROLE_OPERATOR


def bridge_dns_name(uid: str) -> str:
    """The DNS name in a bridge's certificate; raises ValueError for what is no UUID."""
    return f"{UUID(uid)}.{BRIDGE_DOMAIN}"


def is_tls(auth_context: Mapping[str, Iterable[bytes]]) -> bool:
    """Whether a call came with a verified certificate."""
    return b"ssl" in tuple(auth_context.get("transport_security_type", ()))


def role_of(auth_context: Mapping[str, Iterable[bytes]]) -> Role | None:
    """The one role that a call's certificate names; None for none, or more than one."""
    if not is_tls(auth_context):
        return None
    names = set(auth_context.get("x509_subject_alternative_name", ()))
    roles = [role for role in Role if role.value.encode() in names]
    return roles[0] if len(roles) == 1 else None


def server_credentials(directory: TlsDirectory) -> grpc.ServerCredentials:
    """Credentials that ask each client for a certificate; raises TlsError.

    The files are read again before each handshake, in a thread of gRPC's; connections that stand
    are left alone. Files that are no good leave the last good ones in use.
    """
    first = directory.latest()
    served = first

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        latest = directory.latest()
        if latest is served:
            return None
        served = latest
        return _configuration(latest)

    # The stub does not know that None says "unchanged".
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(first), fetcher, require_client_authentication=True
    )


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    pair = (material.key, material.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.bundle)


def client_credentials(material: TlsMaterial) -> grpc.ChannelCredentials:
    """Credentials of one role for any number of channels.

    A channel keeps the ones that it was made with. Open a new one once they have changed: its
    next connection would show a certificate that is about to expire.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=material.bundle,
        private_key=material.key,
        certificate_chain=material.certificate,
    )


class ClientTls:
    """The credentials of the role whose files are in a directory, as they are now."""

    def __init__(self, directory: TlsDirectory) -> None:
        self._directory = directory
        self._material: TlsMaterial | None = None
        self._credentials: grpc.ChannelCredentials | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """The same object while the files say the same; raises TlsError when none were ever good.

        It reads three small files: call it for each channel that is opened.
        """
        latest = self._directory.latest()
        if self._credentials is None or latest is not self._material:
            self._material, self._credentials = latest, client_credentials(latest)
        return self._credentials


def bridge_channel(
    address: str,
    port: int,
    *,
    uid: str,
    credentials: grpc.ChannelCredentials,
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Channel:
    """A channel to a bridge's pod at an IP address; whoever else answers there is refused."""
    return grpc.aio.secure_channel(
        target(address, port), credentials, options=(*options, *channel_options(uid))
    )


def target(address: str, port: int) -> str:
    """How gRPC is told an IP address, without asking a resolver; raises ValueError."""
    found = ip_address(address)
    return f"ipv4:{found}:{port}" if found.version == 4 else f"ipv6:[{found}]:{port}"


def channel_options(uid: str) -> tuple[tuple[str, Any], ...]:
    """What a channel to a bridge needs beside credentials."""
    return (
        ("grpc.ssl_target_name_override", bridge_dns_name(uid)),
        # A proxy that the environment names is for the world outside: never for a pod.
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
