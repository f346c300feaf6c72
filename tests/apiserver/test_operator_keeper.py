"""The CA on a real API server, with the operator's own rights: made once, kept, and replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from repobridge.certificates import CertificateError
from repobridge.tls_files import TlsError
from repobridge_operator import rbac
from repobridge_operator.authority import Stage, wanted
from repobridge_operator.cluster import Cluster, NotFound, Refused, Resource
from repobridge_operator.keeper import Keeper
from repobridge_operator.resources.identity import (
    CA_SECRET,
    GATEWAY_SECRET,
    holder_of,
    read_ca_secret,
)
from tests.apiserver.conftest import MakeUser
from tests.apiserver.rest import Rest


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
async def cluster(make_limited_user: MakeUser) -> AsyncIterator[Cluster]:
    user = await make_limited_user("operator", rbac.own_rules())
    async with user.client() as client:
        yield Cluster(client)


async def test_the_first_step_makes_the_ca_and_the_gateways_certificate_and_no_other_does(
    cluster: Cluster, namespace: str, clock: Clock
) -> None:
    keeper = Keeper(cluster, namespace=namespace, now=clock)
    with pytest.raises(TlsError):
        keeper.credentials()
    assert await keeper.step(None) == 0.0
    made = await cluster.get(Resource.SECRET, namespace, CA_SECRET)
    gateway = await cluster.metadata(Resource.SECRET, namespace, GATEWAY_SECRET)
    assert read_ca_secret(made) == keeper.authority
    assert holder_of(gateway) == wanted(keeper.authority)
    other = Keeper(cluster, namespace=namespace, now=clock)
    assert await other.step(()) > 0
    assert other.authority == keeper.authority
    assert await cluster.get(Resource.SECRET, namespace, CA_SECRET) == made
    after = await cluster.metadata(Resource.SECRET, namespace, GATEWAY_SECRET)
    assert after == gateway


async def test_of_two_that_make_a_ca_at_once_one_finds_out(
    cluster: Cluster, namespace: str, clock: Clock
) -> None:
    keepers = [Keeper(cluster, namespace=namespace, now=clock) for _ in range(5)]
    await asyncio.gather(*(keeper.step(None) for keeper in keepers))
    stored = read_ca_secret(await cluster.get(Resource.SECRET, namespace, CA_SECRET))
    assert [keeper.authority == stored for keeper in keepers] == [True] * 5


async def test_an_own_certificate_stays_the_same_object_until_it_is_due_or_the_ca_another(
    cluster: Cluster, namespace: str, clock: Clock
) -> None:
    keeper = Keeper(cluster, namespace=namespace, now=clock)
    await keeper.step(None)
    first = keeper.credentials()
    await keeper.step(())
    assert keeper.credentials() is first
    clock.now += timedelta(days=50)
    assert keeper.credentials() is not first


async def test_a_ca_that_is_due_is_replaced_once_every_holder_trusts_the_next(
    cluster: Cluster, namespace: str, clock: Clock
) -> None:
    keeper = Keeper(cluster, namespace=namespace, now=clock)
    await keeper.step(None)
    first = keeper.authority
    behind = wanted(first)
    clock.now += timedelta(days=300)
    await keeper.step((behind,))
    assert keeper.authority.stage is Stage.SPREADING
    # An operator that has just started knows no holders yet, and goes no further.
    fresh = Keeper(cluster, namespace=namespace, now=clock)
    await fresh.step(None)
    clock.now += timedelta(hours=2)
    await keeper.step((behind,))
    assert keeper.authority.stage is Stage.SPREADING
    stages = []
    for _ in range(12):
        await keeper.step((wanted(keeper.authority),))
        stages.append(keeper.authority.stage)
        clock.now += timedelta(minutes=40)
    assert list(dict.fromkeys(stages)) == [Stage.SPREADING, Stage.REISSUING, Stage.STEADY]
    assert keeper.authority.current != first.current
    stored = read_ca_secret(await cluster.get(Resource.SECRET, namespace, CA_SECRET))
    assert stored == keeper.authority
    gateway = await cluster.metadata(Resource.SECRET, namespace, GATEWAY_SECRET)
    assert holder_of(gateway) == wanted(keeper.authority)


async def test_a_ca_that_is_unusable_is_told_and_never_overwritten(
    cluster: Cluster, namespace: str, admin: Rest, clock: Clock
) -> None:
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    broken = {"metadata": {"name": CA_SECRET}, "stringData": {"ca.crt": "x", "ca.key": "y"}}
    before = await admin.create(secrets, broken)
    keeper = Keeper(cluster, namespace=namespace, now=clock)
    with pytest.raises(CertificateError, match="Restore it, or delete it"):
        await keeper.step(None)
    assert await admin.get(f"{secrets}/{CA_SECRET}") == before
    await admin.delete(f"{secrets}/{CA_SECRET}")
    await keeper.step(None)
    assert keeper.authority.stage is Stage.STEADY


async def test_the_rights_reach_no_other_secret(
    cluster: Cluster, namespace: str, admin: Rest
) -> None:
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    await admin.create(secrets, {"metadata": {"name": "anthropic"}})
    with pytest.raises(Refused):
        await cluster.get(Resource.SECRET, namespace, "anthropic")
    with pytest.raises(NotFound):
        await cluster.get(Resource.SECRET, namespace, CA_SECRET)
    with pytest.raises(Refused):
        [page async for page in cluster.pages(Resource.SECRET, namespace)]
