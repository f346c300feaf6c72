"""The Secrets of the CA and of those who hold a certificate, and what makes one out of date.

The operator never reads Secrets but its CA's own: what decides stands in annotations, which the
API server gives without the data. So a Secret is replaced whole, with a new key, or left alone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from repobridge import certificates
from repobridge.certificates import CertificateError, Issued
from repobridge.crd import GROUP
from repobridge.tls import Role, bridge_dns_name
from repobridge.tls_files import BUNDLE_FILE, CERTIFICATE_FILE, KEY_FILE, TlsMaterial
from repobridge_operator.authority import Authority, Holder, wanted
from repobridge_operator.resources import naming

CA_SECRET = "repobridge-ca"  # noqa: S105 - a name
GATEWAY_SECRET = "repobridge-gateway-tls"  # noqa: S105 - a name
ANNOTATION_SIGNER = f"{GROUP}/signer"
ANNOTATION_BUNDLE = f"{GROUP}/bundle"
ANNOTATION_DUE = f"{GROUP}/certificate-due"
_NEXT, _PREVIOUS, _SETTLED = "next", "previous.crt", "settled-at"
_CURRENT = "ca"


class Stale(Enum):
    """Why a Secret with a certificate is to be written."""

    MISSING = "Missing"
    FOREIGN = "Foreign"
    """It was not made for this bridge, or not by us."""
    SIGNER = "Signer"
    BUNDLE = "Bundle"
    DUE = "Due"


def issue_for_bridge(authority: Authority, uid: str, *, now: datetime) -> TlsMaterial:
    """A new key and certificate for a bridge's runner: it serves, and calls nobody."""
    return _issue(authority, now=now, dns_names=(bridge_dns_name(uid),))


def issue_for_role(authority: Authority, role: Role, *, now: datetime) -> TlsMaterial:
    """A new key and certificate for gateway or operator: it calls, and serves nobody."""
    return _issue(authority, now=now, uris=(role.value,))


def _issue(
    authority: Authority, *, now: datetime, dns_names: Sequence[str] = (), uris: Sequence[str] = ()
) -> TlsMaterial:
    issued = certificates.make_certificate(
        authority.current, now=now, dns_names=dns_names, uris=uris
    )
    return TlsMaterial(certificate=issued.certificate, key=issued.key, bundle=authority.bundle)


def make_bridge_secret(
    material: TlsMaterial, authority: Authority, *, namespace: str, bridge: str, uid: str
) -> dict[str, Any]:
    """The Secret that a bridge's pod mounts; it goes with the bridge."""
    metadata = naming.metadata(
        naming.tls_secret_name(bridge), namespace=namespace, bridge=bridge, uid=uid
    )
    return _secret(metadata, material, authority)


def make_role_secret(
    material: TlsMaterial, authority: Authority, *, namespace: str, name: str = GATEWAY_SECRET
) -> dict[str, Any]:
    """The Secret that the gateway mounts, in the operator's namespace."""
    return _secret(_own_metadata(name, namespace), material, authority)


def _secret(
    metadata: dict[str, Any], material: TlsMaterial, authority: Authority
) -> dict[str, Any]:
    holder = wanted(authority)
    due = certificates.read(material.certificate).due
    metadata["annotations"] = {
        ANNOTATION_SIGNER: holder.signer,
        ANNOTATION_BUNDLE: holder.bundle,
        ANNOTATION_DUE: _text(due),
    }
    data = {
        CERTIFICATE_FILE: material.certificate,
        KEY_FILE: material.key,
        BUNDLE_FILE: material.bundle,
    }
    return _manifest(metadata, "kubernetes.io/tls", data)


def stale(
    present: Mapping[str, Any] | None, authority: Authority, *, now: datetime, uid: str = ""
) -> Stale | None:
    """Why a Secret must be written, going by its metadata; None: leave it alone.

    `uid` is the bridge's, or empty for a role's Secret.
    """
    if present is None:
        return Stale.MISSING
    labels = present["metadata"].get("labels") or {}
    if labels.get(naming.LABEL_MANAGED_BY) != naming.MANAGED_BY or (
        uid and not _is_owned(present, uid)
    ):
        return Stale.FOREIGN
    holder, now_wanted = holder_of(present), wanted(authority)
    if holder.signer != now_wanted.signer:
        return Stale.SIGNER
    if holder.bundle != now_wanted.bundle:
        return Stale.BUNDLE
    due = due_of(present)
    return Stale.DUE if due is None or now >= due else None


def _is_owned(present: Mapping[str, Any], uid: str) -> bool:
    owners = present["metadata"].get("ownerReferences") or ()
    return naming.belongs_to(uid, present) and any(each.get("uid") == uid for each in owners)


def holder_of(present: Mapping[str, Any]) -> Holder:
    """What a Secret's metadata says of its certificate."""
    annotations = present["metadata"].get("annotations") or {}
    return Holder(
        signer=annotations.get(ANNOTATION_SIGNER, ""), bundle=annotations.get(ANNOTATION_BUNDLE, "")
    )


def holders_of(present: Iterable[Mapping[str, Any] | None]) -> tuple[Holder, ...]:
    """The same of many; one that is missing will be made whole, and holds nothing up."""
    return tuple(holder_of(each) for each in present if each is not None)


def due_of(present: Mapping[str, Any]) -> datetime | None:
    """When a Secret's certificate is to be replaced; None where it does not say."""
    annotations = present["metadata"].get("annotations") or {}
    return _time(annotations.get(ANNOTATION_DUE, ""))


def make_ca_secret(
    authority: Authority, *, namespace: str, name: str = CA_SECRET
) -> dict[str, Any]:
    """The CA's own Secret.

    Create it, or replace the one that was read by its resourceVersion: of two operators that make
    a CA at once, one must find out.
    """
    data = {
        f"{_CURRENT}.crt": authority.current.certificate,
        f"{_CURRENT}.key": authority.current.key,
    }
    if authority.next is not None:
        data[f"{_NEXT}.crt"] = authority.next.certificate
        data[f"{_NEXT}.key"] = authority.next.key
    if authority.previous:
        data[_PREVIOUS] = authority.previous
    if authority.settled_at is not None:
        data[_SETTLED] = _text(authority.settled_at).encode()
    return _manifest(_own_metadata(name, namespace), "Opaque", data)


def read_ca_secret(present: Mapping[str, Any]) -> Authority:
    """The CA in its Secret; raises CertificateError where there is none that can sign."""
    metadata = present["metadata"]
    try:
        data = {
            name: base64.b64decode(value, validate=True)
            for name, value in (present.get("data") or {}).items()
        }
        authority = Authority(
            current=_pair(data, _CURRENT),
            next=_pair(data, _NEXT) if f"{_NEXT}.crt" in data else None,
            previous=data.get(_PREVIOUS, b""),
            settled_at=_time(data.get(_SETTLED, b"").decode("ascii", "replace")),
        )
        if authority.previous:
            certificates.read(authority.previous)
    except (CertificateError, ValueError) as error:
        raise CertificateError(
            f"The Secret {metadata['namespace']}/{metadata['name']} holds no usable CA ({error})."
            " Restore it, or delete it to have a new CA made: running sessions stay, and new"
            " connections wait until every pod has seen its new certificate, about two minutes."
        ) from error
    return authority


def _pair(data: Mapping[str, bytes], name: str) -> Issued:
    missing = [each for each in (f"{name}.crt", f"{name}.key") if each not in data]
    if missing:
        raise CertificateError(f"{missing[0]} is missing")
    pair = Issued(certificate=data[f"{name}.crt"], key=data[f"{name}.key"])
    if not certificates.is_ca(pair):
        raise CertificateError(f"{name}.crt and {name}.key are no CA and its key")
    return pair


def _own_metadata(name: str, namespace: str) -> dict[str, Any]:
    labels = {
        naming.LABEL_APP: naming.MANAGED_BY,
        naming.LABEL_MANAGED_BY: naming.MANAGED_BY,
    }
    return {"name": name, "namespace": namespace, "labels": labels}


def _manifest(metadata: dict[str, Any], kind: str, data: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "data": {name: base64.b64encode(value).decode("ascii") for name, value in data.items()},
    }


def _text(moment: datetime) -> str:
    # To the microsecond: what was rounded up would lie ahead when it is read back at once.
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
