"""The cluster's certificates are such that the strictest of their readers trusts them."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from tests.cluster.certificates import Authority, write_kubeconfig


def _load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_strict_reader_trusts_server_and_client(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority(tmp_path / "made", now=now)
    server = authority.issue_server("server", addresses=["10.0.0.1"], dns_names=["node.test"])
    client = authority.issue_client("client", user="ann", groups=["one", "two"])
    policy = PolicyBuilder().store(Store([_load(authority.path)])).time(now)

    served = policy.build_server_verifier(x509.DNSName("node.test"))
    assert [each.subject for each in served.verify(_load(server.certificate), [])] == [
        _load(server.certificate).subject,
        _load(authority.path).subject,
    ]
    assert _load(client.certificate).subject.rfc4514_string() == "CN=ann,O=two,O=one"
    strict = ssl.create_default_context(cafile=str(authority.path))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    strict.load_cert_chain(client.certificate, client.key)


def test_keys_and_kubeconfigs_are_their_owners_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "made", now=datetime.now(UTC))
    client = authority.issue_client("client", user="ann")

    written = write_kubeconfig(
        tmp_path / "kubeconfig",
        server="https://127.0.0.1:1",
        authority=authority.path,
        client=client,
    )

    assert [stat.S_IMODE(path.stat().st_mode) for path in (client.key, written)] == [0o600, 0o600]
    cluster = yaml.safe_load(written.read_text())["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:1"
