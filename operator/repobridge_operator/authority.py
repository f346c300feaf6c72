"""The CA's life: made, replaced before it ends, and replaced without anybody losing trust.

A plan of pure steps, each of which the CA's Secret records before anything follows from it:
- STEADY: one CA signs, and is all that is trusted;
- SPREADING: a next one is trusted beside it, and signs nothing yet;
- REISSUING: the next one signs, and its predecessor is trusted until nobody shows its signature.
A step forward waits until every holder's Secret was seen up to date, and then for the volumes of
running pods to follow. Certificates are replaced with their Secret, so a holder is a Secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from repobridge import certificates
from repobridge.certificates import Issued

FOLLOWS_WITHIN = timedelta(hours=1)
"""How long a running pod's files may stay behind its Secret: the kubelet needs two minutes, and a
node that is cut off for longer than an hour has other troubles."""
PATIENCE = timedelta(days=90)
"""How long Secrets that can't be written hold up a step; a CA is due 120 days before its end."""


class Stage(Enum):
    """How far a replacement is."""

    STEADY = "Steady"
    SPREADING = "Spreading"
    REISSUING = "Reissuing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The CA: the one that signs, the one to come, and the one that went."""

    current: Issued
    next: Issued | None = None
    previous: bytes = b""
    """A certificate only: its key is forgotten."""
    settled_at: datetime | None = None
    """Since when every holder was seen up to date in this stage."""

    @property
    def stage(self) -> Stage:
        """How far a replacement is."""
        if self.next is not None:
            return Stage.SPREADING
        return Stage.REISSUING if self.previous else Stage.STEADY

    @property
    def bundle(self) -> bytes:
        """PEM of every CA that is trusted; the same text for the same CAs."""
        following = self.next.certificate if self.next else b""
        return b"".join(sorted(filter(None, (self.current.certificate, following, self.previous))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a Secret with a certificate says of itself."""

    signer: str
    """The fingerprint of the CA that signed."""
    bundle: str
    """The fingerprint of the CAs that are trusted by whoever mounts it."""

    def is_current(self, authority: Authority) -> bool:
        """Whether it has all that the CA's stage asks for."""
        return self == wanted(authority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The CA as it must be stored before anything else is done, and when to look again."""

    authority: Authority
    is_changed: bool
    again_at: datetime | None
    """None: at once, when it is stored and the Secrets that it makes stale are written."""


def fingerprint(pem: bytes) -> str:
    """A short name of a certificate or a bundle."""
    return hashlib.sha256(pem).hexdigest()[:32]


def wanted(authority: Authority) -> Holder:
    """What every Secret must say now."""
    return Holder(
        signer=fingerprint(authority.current.certificate), bundle=fingerprint(authority.bundle)
    )


def plan(
    authority: Authority | None,
    holders: Iterable[Holder],
    *,
    now: datetime,
    follows_within: timedelta = FOLLOWS_WITHIN,
) -> Plan:
    """The next step; call it at least whenever `again_at` has come.

    `holders` are all Secrets that the CA's present bundle should be in. A CA that is missing is
    made, as is one whose end has come: then there is no trust left to keep.
    """
    if authority is None:
        return _changed(Authority(current=certificates.make_ca(now=now)))
    facts = certificates.read(authority.current.certificate)
    if now >= facts.not_after:
        return _changed(Authority(current=_living(authority.next, now=now)))
    if authority.stage is not Stage.STEADY:
        return _replacement(authority, holders, now=now, follows_within=follows_within)
    if now < facts.due:
        return Plan(authority=authority, is_changed=False, again_at=facts.due)
    return _changed(replace(authority, next=certificates.make_ca(now=now), settled_at=None))


def _replacement(
    authority: Authority, holders: Iterable[Holder], *, now: datetime, follows_within: timedelta
) -> Plan:
    latest, settled_at = _latest(authority), authority.settled_at
    if now >= latest:
        return _changed(_forward(authority))
    if not all(holder.is_current(authority) for holder in holders):
        unsettled = replace(authority, settled_at=None)
        return Plan(authority=unsettled, is_changed=settled_at is not None, again_at=latest)
    # A clock that was set back must not make the wait longer than it is.
    if settled_at is None or settled_at > now:
        settled = replace(authority, settled_at=now)
        return Plan(authority=settled, is_changed=True, again_at=now + follows_within)
    if now < settled_at + follows_within:
        again_at = min(settled_at + follows_within, latest)
        return Plan(authority=authority, is_changed=False, again_at=again_at)
    return _changed(_forward(authority))


def _living(ca: Issued | None, *, now: datetime) -> Issued:
    if ca is not None and now < certificates.read(ca.certificate).not_after:
        return ca
    return certificates.make_ca(now=now)


def _changed(authority: Authority) -> Plan:
    return Plan(authority=authority, is_changed=True, again_at=None)


def _forward(authority: Authority) -> Authority:
    if authority.next is None:
        return Authority(current=authority.current)
    return Authority(current=authority.next, previous=authority.current.certificate)


def _latest(authority: Authority) -> datetime:
    """When a step is made with some holders left behind."""
    if authority.next is not None:
        return certificates.read(authority.next.certificate).not_before + PATIENCE
    return certificates.read(authority.previous).not_after
