"""The cluster's certificates, all of one CA that each start makes, and kubeconfigs of them."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_FOR = timedelta(days=365)
_SET_BACK = timedelta(hours=1)
"""How long certificates are valid before they are made: clocks of machines are set."""
_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A CA that writes what it signs into one directory."""

    def __init__(self, directory: Path, *, now: datetime) -> None:
        directory.mkdir(mode=0o700, parents=True)
        self._directory = directory
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("repobridge-cluster", groups=())
        self._certificate = self._sign(
            self._name,
            self._key.public_key(),
            [(x509.BasicConstraints(ca=True, path_length=0), True), (_SIGNS_CERTIFICATES, True)],
        )
        self.path = directory / "ca.crt"
        """The CA's own certificate."""
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue_client(self, file: str, *, user: str, groups: Sequence[str] = ()) -> Certificate:
        """A certificate with which its holder is that user to the API server."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(file, _name(user, groups=groups), [(usage, False)])

    def issue_server(
        self, file: str, *, addresses: Sequence[str], dns_names: Sequence[str] = ()
    ) -> Certificate:
        """A certificate of a server that is reached at these addresses and names."""
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        alternatives = x509.SubjectAlternativeName([*names, *map(x509.DNSName, dns_names)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return self._issue(file, _name(file, groups=()), [(alternatives, False), (usage, False)])

    def issue_key_pair(self, file: str) -> Certificate:
        """A key with its public half, as service account tokens are signed and checked with."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return self._write(file, public, key)

    def _issue(
        self, file: str, name: x509.Name, extensions: Sequence[tuple[x509.ExtensionType, bool]]
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key.public_key(), extensions)
        return self._write(file, certificate.public_bytes(serialization.Encoding.PEM), key)

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SET_BACK)
            .not_valid_after(self._now + _VALID_FOR)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            # Python 3.13 and later trust no chain whose links do not name each other.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, critical=is_critical)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, file: str, public: bytes, key: ec.EllipticCurvePrivateKey) -> Certificate:
        written = Certificate(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        written.certificate.write_bytes(public)
        written.key.touch(mode=0o600)
        written.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return written


def write_kubeconfig(path: Path, *, server: str, authority: Path, client: Certificate) -> Path:
    """Writes a kubeconfig that stands alone, so that it may be copied; returns its path."""
    encode = base64.b64encode
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "repobridge",
        "clusters": [
            {
                "name": "repobridge",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": encode(authority.read_bytes()).decode(),
                },
            }
        ],
        "users": [
            {
                "name": "repobridge",
                "user": {
                    "client-certificate-data": encode(client.certificate.read_bytes()).decode(),
                    "client-key-data": encode(client.key.read_bytes()).decode(),
                },
            }
        ],
        "contexts": [
            {"name": "repobridge", "context": {"cluster": "repobridge", "user": "repobridge"}}
        ],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _name(common: str, *, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common)])
