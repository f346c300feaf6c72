"""The Secrets with certificates: their manifests, and what makes one stale."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from repobridge import certificates
from repobridge.certificates import CertificateError, Issued, make_ca
from repobridge.tls import ROLE_GATEWAY, Role, bridge_dns_name
from repobridge_operator.authority import Authority, fingerprint
from repobridge_operator.resources.identity import (
    Stale,
    due_of,
    issue_for_bridge,
    issue_for_role,
    make_bridge_secret,
    make_ca_secret,
    make_role_secret,
    read_ca_secret,
    stale,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
UID = "7f0c2f4e-7e6b-4a53-9b3a-0d6b3f1a2c3d"
CA, NEXT = make_ca(now=NOW), make_ca(now=NOW)
STEADY = Authority(current=CA)
MATERIAL = issue_for_bridge(STEADY, UID, now=NOW)


def bridge_secret() -> dict[str, Any]:
    return make_bridge_secret(MATERIAL, STEADY, namespace="team", bridge="payments", uid=UID)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_bridges_secret_goes_with_its_bridge_and_says_what_it_holds() -> None:
    secret = bridge_secret()
    due = secret["metadata"]["annotations"].pop("repobridge.dev/certificate-due")
    assert due.endswith("Z")
    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "rb-payments-tls",
            "namespace": "team",
            "labels": {
                "app.kubernetes.io/name": "session-runner",
                "app.kubernetes.io/managed-by": "repobridge",
                "repobridge.dev/bridge": "payments",
                "repobridge.dev/uid": UID,
            },
            "annotations": {
                "repobridge.dev/signer": fingerprint(CA.certificate),
                "repobridge.dev/bundle": fingerprint(CA.certificate),
            },
            "ownerReferences": [
                {
                    "apiVersion": "repobridge.dev/v1alpha1",
                    "kind": "RepoBridge",
                    "name": "payments",
                    "uid": UID,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": encoded(MATERIAL.certificate),
            "tls.key": encoded(MATERIAL.key),
            "ca.crt": encoded(CA.certificate),
        },
    }


def test_a_bridges_certificate_proves_its_uid_and_no_role() -> None:
    facts = certificates.read(MATERIAL.certificate)
    assert (facts.dns_names, facts.uris) == ((bridge_dns_name(UID),), ())


def test_the_gateways_secret_is_the_operators_own_and_proves_its_role() -> None:
    material = issue_for_role(STEADY, Role.GATEWAY, now=NOW)
    assert certificates.read(material.certificate).uris == (ROLE_GATEWAY,)
    secret = make_role_secret(material, STEADY, namespace="repobridge")
    assert secret["metadata"]["name"] == "repobridge-gateway-tls"
    assert "ownerReferences" not in secret["metadata"]
    assert stale(secret, STEADY, now=NOW) is None


def test_a_secret_that_was_just_made_is_left_alone_until_it_is_due() -> None:
    secret = bridge_secret()
    due = due_of(secret)
    assert due is not None
    assert due == certificates.read(MATERIAL.certificate).due
    assert stale(secret, STEADY, now=due - timedelta(seconds=1), uid=UID) is None
    assert stale(secret, STEADY, now=due, uid=UID) is Stale.DUE


def test_its_data_is_never_looked_at() -> None:
    secret = bridge_secret()
    del secret["data"]
    assert stale(secret, STEADY, now=NOW, uid=UID) is None


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("labels",), {}, Stale.FOREIGN),
        (("labels", "app.kubernetes.io/managed-by"), "somebody", Stale.FOREIGN),
        (("labels", "repobridge.dev/uid"), "another", Stale.FOREIGN),
        (("ownerReferences",), None, Stale.FOREIGN),
        (("ownerReferences",), [{"uid": "another"}], Stale.FOREIGN),
        (("annotations",), None, Stale.SIGNER),
        (("annotations", "repobridge.dev/signer"), "another", Stale.SIGNER),
        (("annotations", "repobridge.dev/bundle"), "another", Stale.BUNDLE),
        (("annotations", "repobridge.dev/certificate-due"), "soon", Stale.DUE),
        (("annotations", "repobridge.dev/certificate-due"), "2027-01-01T00:00:00", Stale.DUE),
    ],
)
def test_what_differs_makes_it_stale(path: tuple[str, ...], value: Any, expected: Stale) -> None:
    secret = copy.deepcopy(bridge_secret())
    part = secret["metadata"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert stale(secret, STEADY, now=NOW, uid=UID) is expected


def test_a_missing_secret_is_stale() -> None:
    assert stale(None, STEADY, now=NOW, uid=UID) is Stale.MISSING


def test_a_cas_steps_make_the_secrets_stale() -> None:
    secret = bridge_secret()
    spreading = Authority(current=CA, next=NEXT)
    reissuing = Authority(current=NEXT, previous=CA.certificate)
    assert stale(secret, spreading, now=NOW, uid=UID) is Stale.BUNDLE
    assert stale(secret, reissuing, now=NOW, uid=UID) is Stale.SIGNER


@pytest.mark.parametrize(
    "authority",
    [
        STEADY,
        Authority(current=CA, next=NEXT),
        Authority(current=CA, next=NEXT, settled_at=NOW + timedelta(microseconds=1)),
        Authority(current=NEXT, previous=CA.certificate, settled_at=NOW),
    ],
)
def test_the_ca_reads_back_what_was_stored(authority: Authority) -> None:
    assert read_ca_secret(make_ca_secret(authority, namespace="repobridge")) == authority


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ca.crt": None}, "ca.crt is missing"),
        ({"ca.key": None}, "ca.key is missing"),
        ({"next.key": None}, "next.key is missing"),
        ({"ca.crt": "!"}, "base64"),
        ({"ca.crt": encoded(b"junk")}, "ca.crt and ca.key are no CA and its key"),
        ({"ca.key": encoded(NEXT.key)}, "ca.crt and ca.key are no CA and its key"),
        ({"next.crt": encoded(MATERIAL.certificate)}, "next.crt and next.key are no CA"),
        ({"previous.crt": encoded(b"junk")}, "The text is no certificate."),
    ],
)
def test_a_broken_ca_is_named_and_not_replaced_unasked(
    change: dict[str, str | None], why: str
) -> None:
    secret = make_ca_secret(Authority(current=CA, next=NEXT), namespace="repobridge")
    for name, value in change.items():
        if value is None:
            del secret["data"][name]
        else:
            secret["data"][name] = value
    with pytest.raises(CertificateError) as caught:
        read_ca_secret(secret)
    assert str(caught.value).startswith("The Secret repobridge/repobridge-ca holds no usable CA (")
    assert why in str(caught.value)


def test_keys_are_never_printed() -> None:
    issued = Issued(CA.certificate, CA.key)
    assert "PRIVATE" not in repr((STEADY, issued, MATERIAL))
