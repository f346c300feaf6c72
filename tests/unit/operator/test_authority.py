"""The CA's replacement: the steps, what holds them up, and that nobody ever loses trust."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge import certificates
from repobridge.certificates import CA_LIFETIME, make_ca
from repobridge.tls import Role
from repobridge.tls_files import TlsMaterial
from repobridge_operator.authority import (
    FOLLOWS_WITHIN,
    PATIENCE,
    Authority,
    Holder,
    Plan,
    Stage,
    plan,
    wanted,
)
from repobridge_operator.resources.identity import (
    holder_of,
    issue_for_bridge,
    issue_for_role,
    make_bridge_secret,
    make_role_secret,
    stale,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OLD, NEXT = make_ca(now=NOW), make_ca(now=NOW + 245 * DAY)
STEADY = Authority(current=OLD)
SPREADING = Authority(current=OLD, next=NEXT)
REISSUING = Authority(current=NEXT, previous=OLD.certificate)
DUE = certificates.read(OLD.certificate).due
BEHIND = Holder(signer="?", bundle="?")


def test_a_ca_that_is_missing_is_made() -> None:
    made = plan(None, (), now=NOW)
    assert (made.authority.stage, made.is_changed) == (Stage.STEADY, True)
    again = plan(made.authority, [wanted(made.authority)], now=NOW)
    due = certificates.read(made.authority.current.certificate).due
    assert again == Plan(authority=made.authority, is_changed=False, again_at=due)


def test_a_ca_that_is_due_gets_a_successor_that_signs_nothing_yet() -> None:
    found = plan(STEADY, [BEHIND], now=DUE)
    assert found.authority.stage is Stage.SPREADING
    assert found.authority.current == OLD
    assert found.authority.next is not None
    assert found.authority.bundle.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [(SPREADING, REISSUING), (REISSUING, Authority(current=NEXT))],
)
def test_a_step_waits_for_every_secret_and_then_for_the_volumes(
    before: Authority, after: Authority
) -> None:
    now, current = DUE + DAY, wanted(before)
    assert plan(before, [current, BEHIND], now=now).is_changed is False
    settled = replace(before, settled_at=now)
    ready = now + FOLLOWS_WITHIN
    assert plan(before, [current, current], now=now) == Plan(
        authority=settled, is_changed=True, again_at=ready
    )
    assert plan(settled, [current], now=ready - MINUTE) == Plan(
        authority=settled, is_changed=False, again_at=ready
    )
    assert plan(settled, [current], now=ready) == Plan(
        authority=after, is_changed=True, again_at=None
    )


def test_a_secret_that_falls_behind_begins_the_wait_anew() -> None:
    settled = replace(SPREADING, settled_at=DUE)
    found = plan(settled, [wanted(SPREADING), BEHIND], now=DUE + 2 * HOUR)
    assert (found.authority, found.is_changed) == (SPREADING, True)


def test_a_clock_that_was_set_back_begins_the_wait_anew() -> None:
    settled = replace(SPREADING, settled_at=DUE + 90 * DAY)
    found = plan(settled, [wanted(SPREADING)], now=DUE)
    assert found.authority.settled_at == DUE


def test_a_secret_that_can_not_be_written_does_not_hold_it_up_for_ever() -> None:
    start = certificates.read(NEXT.certificate).not_before
    waiting = plan(SPREADING, [BEHIND], now=start + PATIENCE - MINUTE)
    assert waiting == Plan(authority=SPREADING, is_changed=False, again_at=start + PATIENCE)
    assert plan(SPREADING, [BEHIND], now=start + PATIENCE).authority == REISSUING
    end = certificates.read(OLD.certificate).not_after
    assert start + PATIENCE < end
    assert plan(REISSUING, [BEHIND], now=end).authority == Authority(current=NEXT)


def test_a_ca_that_ended_while_nobody_looked_is_replaced_at_once() -> None:
    end = NOW + CA_LIFETIME
    found = plan(STEADY, [wanted(STEADY)], now=end)
    assert found.is_changed
    assert found.authority.stage is Stage.STEADY
    assert found.authority.current != OLD
    assert plan(SPREADING, [BEHIND], now=end).authority == Authority(current=NEXT)


def test_the_bundle_is_the_same_text_while_its_cas_are_the_same() -> None:
    assert SPREADING.bundle == REISSUING.bundle
    assert STEADY.bundle == OLD.certificate


# ------------------------------------------------------------- a whole rotation


@dataclass
class Mount:
    """A Secret, and the older state of it that a running process sees."""

    secret: dict[str, object] | None = None
    latest: TlsMaterial | None = None
    seen: TlsMaterial | None = None
    follows_at: datetime = NOW
    failures: int = 0

    def write(self, found: TlsMaterial, secret: dict[str, object], at: datetime) -> None:
        if self.seen is None:
            self.seen = found
        self.latest, self.secret, self.follows_at = found, secret, at

    def look(self, now: datetime) -> TlsMaterial:
        if now >= self.follows_at:
            self.seen = self.latest
        assert self.seen is not None
        return self.seen


@lru_cache(maxsize=100_000)
def trusts(bundle: bytes, certificate: bytes) -> bool:
    end = b"-----END CERTIFICATE-----\n"
    shown = x509.load_pem_x509_certificate(certificate)
    cas = [x509.load_pem_x509_certificate(one + end) for one in bundle.split(end) if one]
    return any(_is_signed(shown, ca) for ca in cas)


def _is_signed(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=100_000)
def end_of(certificate: bytes) -> datetime:
    return certificates.read(certificate).not_after


class World:
    """Bridges, a gateway and an operator over a simulated time."""

    UIDS = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in range(3))

    def __init__(self, dice: random.Random, *, follows_within: timedelta) -> None:
        self.dice = dice
        self.follows_within = follows_within
        self.now = NOW
        self.authority: Authority | None = None
        self.bridges = {uid: Mount() for uid in self.UIDS}
        self.gateway = Mount()
        self.operator: TlsMaterial | None = None
        self.stages: list[Stage] = []

    def reconcile(self) -> None:
        """One pass of the operator, in which some writes fail."""
        mounts = (*self.bridges.values(), self.gateway)
        holders = [holder_of(each.secret) for each in mounts if each.secret]
        found = plan(self.authority, holders, now=self.now, follows_within=self.follows_within)
        self.authority = found.authority
        if not self.stages or self.stages[-1] is not self.authority.stage:
            self.stages.append(self.authority.stage)
        # Its own certificate is made anew with every step, and whenever it is due.
        if found.is_changed or self.operator is None or self._is_due(self.operator):
            self.operator = issue_for_role(self.authority, Role.OPERATOR, now=self.now)
        for uid, mount in self.bridges.items():
            if stale(mount.secret, self.authority, now=self.now, uid=uid) and self._may(mount):
                fresh = issue_for_bridge(self.authority, uid, now=self.now)
                secret = make_bridge_secret(
                    fresh, self.authority, namespace="a", bridge="b", uid=uid
                )
                mount.write(fresh, secret, self._arrival())
        if stale(self.gateway.secret, self.authority, now=self.now) and self._may(self.gateway):
            fresh = issue_for_role(self.authority, Role.GATEWAY, now=self.now)
            secret = make_role_secret(fresh, self.authority, namespace="a")
            self.gateway.write(fresh, secret, self._arrival())

    def _may(self, mount: Mount) -> bool:
        """Three writes in ten fail, but never three in a row: nothing lives through that."""
        fails = mount.secret is not None and mount.failures < 2 and self.dice.random() < 0.3
        mount.failures = mount.failures + 1 if fails else 0
        return not fails

    def _is_due(self, material: TlsMaterial) -> bool:
        return certificates.needs_renewal(material.certificate, now=self.now)

    def _arrival(self) -> datetime:
        return self.now + self.dice.random() * FOLLOWS_WITHIN

    def distrust(self) -> list[str]:
        """Every pair of which one would refuse the other now."""
        assert self.operator is not None
        callers = {"gateway": self.gateway.look(self.now), "operator": self.operator}
        found = []
        for uid, mount in self.bridges.items():
            bridge = mount.look(self.now)
            for name, caller in callers.items():
                if not trusts(bridge.bundle, caller.certificate):
                    found.append(f"{uid} refuses {name}")
                if not trusts(caller.bundle, bridge.certificate):
                    found.append(f"{name} refuses {uid}")
        shown = [*callers.values(), *(mount.look(self.now) for mount in self.bridges.values())]
        if any(self.now >= end_of(each.certificate) for each in shown):
            found.append("a certificate has expired")
        return found


def live_through(world: World, until: datetime) -> list[str]:
    """Lets time pass in steps of all sizes; returns what was refused meanwhile."""
    world.reconcile()
    refused = []
    while world.now < until:
        # Many small steps where something moves, some long absences of the operator.
        moving = world.authority is not None and world.authority.stage is not Stage.STEADY
        for _ in range(world.dice.randrange(1, 4)):
            longest = world.dice.choice((MINUTE, 20 * MINUTE, 2 * HOUR)) if moving else DAY
            world.now += timedelta(seconds=10) + world.dice.random() * longest
            refused += world.distrust()
        if world.dice.random() < 0.05:
            world.now += world.dice.random() * 2 * DAY
            refused += world.distrust()
        world.reconcile()
        refused += world.distrust()
    return refused


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1 << 32))
def test_nobody_is_refused_at_any_time_of_a_rotation(seed: int) -> None:
    world = World(random.Random(seed), follows_within=FOLLOWS_WITHIN)
    assert live_through(world, NOW + CA_LIFETIME) == []
    assert world.stages == [Stage.STEADY, Stage.SPREADING, Stage.REISSUING, Stage.STEADY]


def test_without_the_wait_for_volumes_somebody_would_be_refused() -> None:
    worlds = [World(random.Random(seed), follows_within=timedelta(0)) for seed in range(10)]
    assert any(live_through(world, NOW + 260 * DAY) for world in worlds)
