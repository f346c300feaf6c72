"""The Lease on a real API server: taken, kept, lost and released."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from repobridge.lease import Lease
from repobridge.lease_api import ApiLease, LeaseChanged, LeaseError
from repobridge.lease_record import NOBODY, Timing
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.rest import Object, Rest
from tests.fakes.api_proxy import ApiProxy

RULES = [
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update"],
    }
]
NAME = "leader"
TIMING = Timing(duration_seconds=4.0, renew_seconds=3.0, retry_seconds=0.2)
STEADY = Timing(duration_seconds=8.0, renew_seconds=7.0, retry_seconds=0.2)
"""For holders that have to stay: none loses it because a machine has much to do."""
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0


@pytest.fixture
async def user(make_limited_user: MakeUser) -> User:
    return await make_limited_user("contender", RULES)


@asynccontextmanager
async def contender(
    user: User,
    namespace: str,
    identity: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    timing: Timing = STEADY,
) -> AsyncIterator[Lease]:
    """A contender that has not entered yet."""
    async with user.client() as api:
        store = ApiLease(api, namespace=namespace, name=NAME)
        yield Lease(store, identity=identity, timing=timing, clock=clock)


def leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


async def spec_of(admin: Rest, namespace: str) -> Object:
    found: Object = (await admin.get(f"{leases(namespace)}/{NAME}"))["spec"]
    return found


async def until_holder(admin: Rest, namespace: str, identity: str) -> None:
    def holds(found: Object | None) -> bool:
        return found is not None and found["spec"].get("holderIdentity") == identity

    await admin.wait_for(leases(namespace), NAME, holds, seconds=PATIENCE_SECONDS)


async def test_it_is_made_kept_and_released_with_few_rights(
    user: User, admin: Rest, namespace: str
) -> None:
    async with contender(user, namespace, "one") as lease:
        async with lease:
            spec = await spec_of(admin, namespace)
            assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("one", 0)
            assert spec["leaseDurationSeconds"] == 8
            first = spec["renewTime"]
            await admin.wait_for(
                leases(namespace), NAME, lambda found: bool(found) and _renewed(found, first)
            )
            assert (await spec_of(admin, namespace))["acquireTime"] == spec["acquireTime"]
            lease.check()
        assert (await spec_of(admin, namespace))["holderIdentity"] == ""


def _renewed(found: Object | None, before: str) -> bool:
    return found is not None and bool(found["spec"]["renewTime"] > before)


async def test_the_second_waits_and_takes_over_at_once_when_the_first_leaves(
    user: User, admin: Rest, namespace: str
) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_SECONDS):
        one = await stack.enter_async_context(contender(user, namespace, "one"))
        two = await stack.enter_async_context(contender(user, namespace, "two"))
        async with one:
            entering = asyncio.create_task(two.__aenter__())
            until = time.monotonic() + 1.2 * STEADY.duration_seconds
            while time.monotonic() < until:
                assert one.is_held
                assert not two.is_held
                await asyncio.sleep(0.05)
        left = time.monotonic()
        await entering
        took = time.monotonic() - left
        assert took < STEADY.duration_seconds
        assert not one.is_held
        assert (await spec_of(admin, namespace))["leaseTransitions"] == 1
        await two.__aexit__(None, None, None)


async def test_of_two_that_make_it_at_once_one_gets_it(user: User, namespace: str) -> None:
    async with user.client() as api:
        stores = [ApiLease(api, namespace=namespace, name=NAME) for _ in "12"]
        assert [await store.get() for store in stores] == [None, None]
        records = [NOBODY.taken_by(name, timing=TIMING, wall=_wall()) for name in ("one", "two")]
        answers = await asyncio.gather(
            *(store.put(record) for store, record in zip(stores, records, strict=True)),
            return_exceptions=True,
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["LeaseChanged", "Record"]
        present = await stores[0].get()
        assert present is not None
        await stores[0].put(present.released(wall=_wall()))
        with pytest.raises(LeaseChanged):
            await stores[1].put(present)


async def test_a_killed_holder_is_followed_after_the_duration_and_not_before(
    user: User, admin: Rest, namespace: str
) -> None:
    duration = 6.0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.programs.lease_holder"),
        *(str(user.kubeconfig), namespace, NAME, "doomed", str(duration)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await until_holder(admin, namespace, "doomed")
        async with contender(user, namespace, "heir", timing=TIMING) as heir:
            entering = asyncio.create_task(heir.__aenter__())
            # It has seen the holder renew at least once.
            before = (await spec_of(admin, namespace))["renewTime"]
            await admin.wait_for(leases(namespace), NAME, lambda found: _renewed(found, before))
            process.kill()
            await process.wait()
            last = await spec_of(admin, namespace)
            assert last["holderIdentity"] == "doomed"
            async with asyncio.timeout(PATIENCE_SECONDS):
                await entering
            taken = datetime.fromisoformat((await spec_of(admin, namespace))["acquireTime"])
            waited = taken - datetime.fromisoformat(last["renewTime"])
            assert waited.total_seconds() >= duration
            await heir.__aexit__(None, None, None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_holder_that_is_told_to_end_releases(
    user: User, admin: Rest, namespace: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.programs.lease_holder"),
        *(str(user.kubeconfig), namespace, NAME, "polite", "15"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await until_holder(admin, namespace, "polite")
        process.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await process.communicate()
        assert output.decode().split() == ["waits", "leads", "leaves"]
        assert (await spec_of(admin, namespace))["holderIdentity"] == ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("trouble", ["refuses", "throttles", "hangs", "cuts"])
async def test_a_holder_that_can_not_renew_stops_before_the_next_begins(
    user: User, namespace: str, api_proxy: ApiProxy, trouble: str
) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_SECONDS):
        one = await stack.enter_async_context(
            contender(user.at(api_proxy.url), namespace, "one", timing=TIMING)
        )
        two = await stack.enter_async_context(contender(user, namespace, "two", timing=TIMING))
        await one.__aenter__()
        entering = asyncio.create_task(two.__aenter__())
        many = 10_000
        match trouble:
            case "refuses":
                api_proxy.refuse(500, times=many)
            case "throttles":
                api_proxy.refuse(429, times=many, retry_after_seconds=1)
            case "hangs":
                api_proxy.hang(times=many)
            case "cuts":
                api_proxy.cut(times=many)
        while not entering.done():
            assert not (one.is_held and two.is_held)
            await asyncio.sleep(0.01)
        assert one.lost.is_set()
        assert two.is_held
        for lease in (one, two):
            await lease.__aexit__(None, None, None)


async def test_a_renewal_whose_answer_was_lost_is_none_the_less_one(
    user: User, namespace: str, api_proxy: ApiProxy
) -> None:
    async with contender(user.at(api_proxy.url), namespace, "one") as lease, lease:
        fault = api_proxy.cut(method="PUT", carried_out=True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await fault.used.wait()
        held_until = time.monotonic() + STEADY.duration_seconds
        while time.monotonic() < held_until:
            lease.check()
            await asyncio.sleep(0.05)


async def test_a_clock_that_jumps_ahead_ends_leadership_before_any_call(
    user: User, namespace: str
) -> None:
    jumped = 0.0
    waiting = contender(user, namespace, "one", clock=lambda: time.monotonic() + jumped)
    async with asyncio.timeout(PATIENCE_SECONDS), waiting as lease, lease:
        jumped = 3600.0
        assert not lease.is_held
        await lease.lost.wait()


async def test_another_holders_wall_clock_is_of_no_importance(
    user: User, admin: Rest, namespace: str
) -> None:
    body = {
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "holderIdentity": "from the future",
            "leaseDurationSeconds": 1,
            "renewTime": "2099-01-01T00:00:00.000000Z",
        },
    }
    await admin.create(leases(namespace), body)
    began = time.monotonic()
    waiting = contender(user, namespace, "one", timing=TIMING)
    async with asyncio.timeout(PATIENCE_SECONDS), waiting as lease, lease:
        assert time.monotonic() - began >= TIMING.duration_seconds


async def test_missing_rights_are_a_trouble_that_is_told(
    make_limited_user: MakeUser, namespace: str
) -> None:
    nobody = await make_limited_user("nobody")
    async with nobody.client() as api:
        with pytest.raises(LeaseError, match=r'403.*cannot get resource "leases"'):
            await ApiLease(api, namespace=namespace, name=NAME).get()


async def test_a_server_that_refuses_for_a_while_is_waited_for(
    user: User, namespace: str, api_proxy: ApiProxy
) -> None:
    fault = api_proxy.refuse(503, times=5)
    waiting = contender(user.at(api_proxy.url), namespace, "one")
    async with asyncio.timeout(PATIENCE_SECONDS), waiting as lease, lease:
        assert fault.used.is_set()
        lease.check()


def _wall() -> datetime:
    return datetime.now(UTC)
