"""A CA's whole replacement: the operator's keeper on a real API server, a real runner, and callers
whose files follow their Secrets one after the other, as the kubelet brings them.
"""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from repobridge import certificates
from repobridge.certificates import CA_DUE_BEFORE_END, CA_LIFETIME, CertificateError
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge.tls import bridge_channel
from repobridge.tls_files import TlsMaterial
from repobridge_operator.authority import FOLLOWS_WITHIN, Stage
from repobridge_operator.cluster import Cluster, Resource
from repobridge_operator.keeper import Keeper
from repobridge_operator.resources import identity, naming
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.rest import Object, Rest
from tests.secure_runner import PATIENCE_SECONDS, SecureRunner, secure_runner, swap

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
RULES = [
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "update", "patch"]}
]


class Clock:
    """The operator's clock: certificates that it dates have to be good on the real one."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def user(make_limited_user: MakeUser) -> User:
    return await make_limited_user("keeper", RULES)


class Place:
    """One bridge, its Secret and the gateway's, in a namespace."""

    def __init__(self, cluster: Cluster, admin: Rest, namespace: str, clock: Clock) -> None:
        self.cluster = cluster
        self.admin = admin
        self.namespace = namespace
        self.clock = clock
        self.keeper = Keeper(cluster, namespace=namespace, now=clock)
        self.uid = ""

    async def issue(self) -> bool:
        """What the operator does for a bridge: its Secret is written when it is stale."""
        name, authority, now = naming.tls_secret_name("one"), self.keeper.authority, self.clock()
        present = await self._present(name)
        if identity.stale(present, authority, now=now, uid=self.uid) is None:
            return False
        material = identity.issue_for_bridge(authority, self.uid, now=now)
        manifest = identity.make_bridge_secret(
            material, authority, namespace=self.namespace, bridge="one", uid=self.uid
        )
        # There is no such bridge here: the garbage collector must not know where to look for it.
        manifest["metadata"]["ownerReferences"][0]["apiVersion"] = "nowhere.test/v1"
        await self.cluster.apply(Resource.SECRET, manifest)
        return True

    async def step(self) -> Stage:
        """The keeper's next step."""
        present = await self._present(naming.tls_secret_name("one"))
        holders = identity.holders_of([present])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.keeper.step(holders) == 0.0:
                pass
        return self.keeper.authority.stage

    async def files(self, name: str) -> TlsMaterial:
        """What a volume of this Secret holds."""
        secret = await self.admin.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
        return TlsMaterial(data["tls.crt"], data["tls.key"], data["ca.crt"])

    async def _present(self, name: str) -> Object | None:
        found = await self.admin.get(
            f"/api/v1/namespaces/{self.namespace}/secrets", fieldSelector=f"metadata.name={name}"
        )
        items: list[Object] = found["items"]
        return items[0] if items else None


async def call_as_operator(place: Place, runner: SecureRunner) -> None:
    channel = bridge_channel(
        "127.0.0.1", runner.port, uid=runner.uid, credentials=place.keeper.credentials()
    )
    async with channel:
        stub = SessionServiceStub(channel)
        await stub.Activity(pb.ActivityRequest(), timeout=PATIENCE_SECONDS)


async def test_a_ca_is_replaced_while_a_stream_is_open_and_nobody_is_refused(
    user: User, admin: Rest, namespace: str, tmp_path: Path
) -> None:
    real = datetime.now(UTC)
    due = real - 5 * HOUR
    clock = Clock(due - CA_LIFETIME + CA_DUE_BEFORE_END)
    async with user.client() as client:
        place = Place(Cluster(client), admin, namespace, clock)
        bridge_secret, gateway_secret = naming.tls_secret_name("one"), identity.GATEWAY_SECRET
        assert await place.step() is Stage.STEADY
        first_ca = place.keeper.authority.current
        clock.now = due - MINUTE

        async def provide(uid: str) -> TlsMaterial:
            place.uid = uid
            assert await place.issue()
            return await place.files(bridge_secret)

        async with secure_runner(tmp_path, provide) as runner:
            assert await place.step() is Stage.STEADY
            gateway = await place.files(gateway_secret)
            async with runner.called_as(gateway) as stub, asyncio.timeout(PATIENCE_SECONDS):
                events = stub.Subscribe(pb.SubscribeRequest(from_now=True))
                await events.initial_metadata()
                stages: list[Stage] = []
                for number in range(12):
                    clock.now = due + number * (FOLLOWS_WITHIN / 3 + MINUTE)
                    stages.append(await place.step())
                    await place.issue()
                    # The runner's volume follows first, then the gateway's, or the other way.
                    new = await place.files(gateway_secret)
                    for turn in (number % 2, 1 - number % 2):
                        if turn:
                            swap(runner.tls, await place.files(bridge_secret))
                        else:
                            gateway = new
                        await runner.sessions(gateway)
                        await call_as_operator(place, runner)
                await runner.live.submit("hello")
                assert (await anext(aiter(events))).log_id
            assert list(dict.fromkeys(stages)) == [Stage.SPREADING, Stage.REISSUING, Stage.STEADY]
            assert clock.now < real + HOUR
            last = place.keeper.authority
            assert last.current != first_ca
            assert last.bundle == last.current.certificate
            assert gateway.bundle == (await place.files(bridge_secret)).bundle == last.bundle


async def test_a_steady_ca_is_not_written_again(
    user: User, admin: Rest, namespace: str, tmp_path: Path
) -> None:
    async with user.client() as client:
        place = Place(Cluster(client), admin, namespace, Clock(datetime.now(UTC)))
        place.uid = "7f0c2f4e-7e6b-4a53-9b3a-0d6b3f1a2c3d"
        await place.step()
        await place.issue()
        before = await _versions(admin, namespace)
        again = Place(Cluster(client), admin, namespace, place.clock)
        again.uid = place.uid
        assert await again.step() is Stage.STEADY
        assert await again.issue() is False
        assert await _versions(admin, namespace) == before
        assert again.keeper.authority == place.keeper.authority


async def test_two_operators_that_make_a_ca_at_once_end_with_one(
    user: User, admin: Rest, namespace: str
) -> None:
    async with user.client() as client:
        clock = Clock(datetime.now(UTC))
        places = [Place(Cluster(client), admin, namespace, clock) for _ in range(4)]
        await asyncio.gather(*(place.step() for place in places))
        made = {place.keeper.authority.current.certificate for place in places}
        assert len(made) == 1


async def test_a_deleted_ca_is_made_anew_and_a_broken_one_is_left_to_a_person(
    user: User, admin: Rest, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets/{identity.CA_SECRET}"
    async with user.client() as client:
        place = Place(Cluster(client), admin, namespace, Clock(datetime.now(UTC)))
        await place.step()
        first = place.keeper.authority
        await admin.merge(path, {"data": {"ca.key": base64.b64encode(b"junk").decode()}})
        with pytest.raises(CertificateError, match=r"holds no usable CA .* delete it"):
            await place.step()
        await admin.delete(path)
        assert await place.step() is Stage.STEADY
        assert place.keeper.authority.current != first.current
        found = await place.files(identity.GATEWAY_SECRET)
        assert found.bundle == place.keeper.authority.bundle
        assert certificates.read(found.certificate).uris == ("repobridge://role/gateway",)


async def _versions(admin: Rest, namespace: str) -> dict[str, Any]:
    found = await admin.get(f"/api/v1/namespaces/{namespace}/secrets")
    return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in found["items"]}
