"""Certificates: what they prove, how long, and when they are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from repobridge.certificates import (
    CA_DUE_BEFORE_END,
    CA_LIFETIME,
    LIFETIME,
    CertificateError,
    Issued,
    is_ca,
    make_ca,
    make_certificate,
    needs_renewal,
    read,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CA = make_ca(now=NOW)
NAME = "7f0c2f4e-7e6b-4a53-9b3a-0d6b3f1a2c3d.bridge.repobridge.dev"
GATEWAY = "repobridge://role/gateway"


def test_a_certificate_says_its_names_and_its_life() -> None:
    issued = make_certificate(CA, now=NOW, dns_names=[NAME])
    facts = read(issued.certificate)
    assert (facts.dns_names, facts.uris) == ((NAME,), ())
    assert (facts.not_before, facts.not_after) == (NOW - HOUR, NOW + LIFETIME)
    assert NOW + 35 * DAY < facts.due < NOW + 43 * DAY


@pytest.mark.parametrize(
    ("dns_names", "uris", "purposes"),
    [
        ([NAME], [], [ExtendedKeyUsageOID.SERVER_AUTH]),
        ([], [GATEWAY], [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_a_bridge_only_serves_and_a_role_only_calls(
    dns_names: list[str], uris: list[str], purposes: list[x509.ObjectIdentifier]
) -> None:
    issued = make_certificate(CA, now=NOW, dns_names=dns_names, uris=uris)
    found = x509.load_pem_x509_certificate(issued.certificate)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == purposes


def test_a_ca_signs_certificates_and_no_further_cas() -> None:
    found = x509.load_pem_x509_certificate(CA.certificate)
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(True, 0))


def test_two_cas_never_share_a_name() -> None:
    names = {x509.load_pem_x509_certificate(make_ca(now=NOW).certificate).subject for _ in "12"}
    assert len(names) == 2


def test_a_ca_signs_what_it_makes() -> None:
    made = x509.load_pem_x509_certificate(make_certificate(CA, now=NOW, uris=[GATEWAY]).certificate)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(CA.certificate))
    other = x509.load_pem_x509_certificate(make_ca(now=NOW).certificate)
    with pytest.raises(ValueError, match="Issuer"):
        made.verify_directly_issued_by(other)


def test_only_a_ca_with_its_own_key_is_one() -> None:
    assert is_ca(CA)
    assert not is_ca(Issued(CA.certificate, make_ca(now=NOW).key))
    assert not is_ca(make_certificate(CA, now=NOW, uris=[GATEWAY]))
    assert not is_ca(Issued(CA.certificate, b"junk"))


def test_a_certificate_never_outlives_its_ca() -> None:
    old = make_ca(now=NOW - CA_LIFETIME + DAY)
    assert read(make_certificate(old, now=NOW, uris=[GATEWAY]).certificate).not_after == NOW + DAY


@pytest.mark.parametrize(
    ("ca", "message"),
    [
        (make_ca(now=NOW - CA_LIFETIME), r"The CA ended at 2026-11-21T12:00:00\+00:00."),
        (make_certificate(CA, now=NOW, uris=[GATEWAY]), "do not belong together"),
        (Issued(CA.certificate, make_ca(now=NOW).key), "do not belong together"),
        (Issued(CA.certificate, b"junk"), "The text is no private key."),
        (Issued(b"junk", CA.key), "The text is no certificate."),
    ],
)
def test_a_ca_that_can_not_sign_is_refused(ca: Issued, message: str) -> None:
    with pytest.raises(CertificateError, match=message):
        make_certificate(ca, now=NOW, uris=[GATEWAY])


def test_a_new_ca_is_due_before_any_certificate_of_the_old_could_be_cut_short() -> None:
    due = read(CA.certificate).due
    assert due == NOW + CA_LIFETIME - CA_DUE_BEFORE_END
    issued = make_certificate(CA, now=due + 30 * DAY, uris=[GATEWAY])
    assert read(issued.certificate).not_after == due + 30 * DAY + LIFETIME


def test_certificates_made_at_once_are_due_at_different_times() -> None:
    made = [make_certificate(CA, now=NOW, dns_names=[NAME]) for _ in range(50)]
    due = sorted(read(each.certificate).due for each in made)
    assert len(set(due)) > 40
    assert due[-1] - due[0] > 3 * DAY


def test_what_is_no_certificate_needs_renewal() -> None:
    assert needs_renewal(b"", now=NOW)
    assert needs_renewal(CA.key, now=NOW)


@given(st.timedeltas(min_value=timedelta(minutes=10), max_value=timedelta(days=300)), st.data())
def test_renewal_comes_while_a_certificate_is_good(
    lifetime: timedelta, data: st.DataObject
) -> None:
    certificate = make_certificate(CA, now=NOW, dns_names=[NAME], lifetime=lifetime).certificate
    facts = read(certificate)
    assert facts.not_before < facts.due < facts.not_after
    later = data.draw(st.timedeltas(min_value=timedelta(0), max_value=2 * lifetime))
    assert needs_renewal(certificate, now=NOW + later) is (NOW + later >= facts.due)
