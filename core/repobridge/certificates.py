"""Makes and reads certificates: the CA's own, and those that it signs.

Keys are EC P-256: every TLS library takes them, and one is made and signed in well under a
millisecond. Lifetimes: a CA lives for a year and is due 120 days before its end. A certificate
lives for 60 days and is due after 36 to 42 of them: a stolen key is of use for weeks, not
years, an operator that is down for a fortnight leaves every bridge reachable, and 1,000 bridges
cause some 25 writes a day. Since 60 days and the time that a new CA takes to spread are less than
120, no certificate outlives its CA, nor is cut short by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from repobridge.errors import RepoBridgeError

CA_LIFETIME = timedelta(days=365)
CA_DUE_BEFORE_END = timedelta(days=120)
LIFETIME = timedelta(days=60)
BACKDATED = timedelta(hours=1)
"""How far another machine's clock may be behind ours."""
_DUE_AFTER, _SPREAD = 0.6, 0.1


class CertificateError(RepoBridgeError):
    """A text is no certificate or key that can be used here; the message says why."""


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM: a certificate and its private key."""

    certificate: bytes
    key: bytes = field(repr=False)


def make_ca(*, now: datetime, lifetime: timedelta = CA_LIFETIME) -> Issued:
    """A new CA, which signs certificates and no further CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # The serial makes the name its own: two CAs of one name in a bundle confuse some verifiers.
    name = _name(f"RepoBridge CA {serial:040x}"[:54])
    builder = (
        _builder(name, name, now=now, until=now + lifetime)
        .serial_number(serial)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _issued(builder.sign(key, hashes.SHA256()), key)


def make_certificate(
    ca: Issued,
    *,
    now: datetime,
    dns_names: Sequence[str] = (),
    uris: Sequence[str] = (),
    lifetime: timedelta = LIFETIME,
) -> Issued:
    """A certificate that proves its DNS names as a server, and its URIs as a client.

    It never outlives its CA. Raises CertificateError for a CA that has ended or can't be read.
    """
    parent, signer = _ca(ca)
    until = min(now + lifetime, parent.not_valid_after_utc)
    if until <= now:
        raise CertificateError(f"The CA ended at {parent.not_valid_after_utc.isoformat()}.")
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    names += [x509.UniformResourceIdentifier(uri) for uri in uris]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * bool(dns_names)
    purposes += [ExtendedKeyUsageOID.CLIENT_AUTH] * bool(uris)
    assert names, "a certificate proves at least one name"
    subject = _name(str(names[0].value)[:64])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        _builder(subject, parent.subject, now=now, until=until)
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority, critical=False)
    )
    return _issued(builder.sign(signer, hashes.SHA256()), key)


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether a certificate is still good."""

    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    due: datetime
    """From then on it should be replaced; spread over a tenth of its life by its serial number."""


def read(certificate: bytes) -> Facts:
    """The facts of a PEM certificate; raises CertificateError."""
    found = _certificate(certificate)
    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    share = _DUE_AFTER + _SPREAD * (found.serial_number % 1024) / 1024
    due = start + share * (end - start)
    if _is_ca(found):
        # Soon enough for a CA that was made with a shorter life, too.
        due = max(end - CA_DUE_BEFORE_END, start + _DUE_AFTER * (end - start))
    names = _names(found)
    return Facts(
        dns_names=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        not_before=start,
        not_after=end,
        due=due,
    )


def needs_renewal(certificate: bytes, *, now: datetime) -> bool:
    """Whether a PEM certificate is due, has ended, or can't be read."""
    try:
        return now >= read(certificate).due
    except CertificateError:
        return True


def is_ca(issued: Issued) -> bool:
    """Whether a certificate and its private key can sign others."""
    try:
        _ca(issued)
    except CertificateError:
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, *, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .not_valid_before(now.astimezone(UTC) - BACKDATED)
        .not_valid_after(until.astimezone(UTC))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _issued(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return Issued(
        certificate=certificate.public_bytes(pem),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
    )


def _ca(ca: Issued) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, key = _certificate(ca.certificate), _key(ca.key)
    if not _is_ca(certificate) or certificate.public_key() != key.public_key():
        raise CertificateError("The CA's certificate and key do not belong together.")
    return certificate, key


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError("The text is no certificate.") from error


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        raise CertificateError("The text is no private key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("The private key is of another kind than EC P-256.")
    return key


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
