"""The operator among faults: killed at any step, two at a time, and an API server that fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.operators import make_operator_user, run_operator
from tests.apiserver.rest import Rest
from tests.apiserver.test_operator import LEASE, POD, Place, condition, in_phase, writes
from tests.fakes.api_proxy import ApiProxy
from tests.fakes.kubelet import Kubelet


@pytest.fixture
def place(admin: Rest, namespace: str) -> Place:
    return Place(admin, namespace)


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_operator_user(make_limited_user)


async def test_of_two_operators_one_writes_and_the_other_takes_over_when_it_dies(
    *,
    apiserver: ApiServer,
    place: Place,
    user: User,
    make_limited_user: MakeUser,
    kubelet: Kubelet,
    tmp_path: Path,
) -> None:
    other = await make_operator_user(make_limited_user, "second")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(
            run_operator(user, tmp_path, namespace=place.namespace, lease_seconds=10.0)
        )
        await first.leads()
        second = await stack.enter_async_context(
            run_operator(other, tmp_path, namespace=place.namespace, lease_seconds=10.0)
        )
        await second.logged("lease holder seen")
        await place.make(replicas=1)
        await place.until(in_phase("Ready"))
        assert await writes(apiserver, other) == []
        first.kill()
        since = await apiserver.audit.position()
        await second.leads()
        await place.admin.delete(f"{place.pods}/{POD}")
        await place.make("two")
        await place.until(in_phase("Asleep"), "two")
        assert await writes(apiserver, user, since=since) == []


async def test_an_operator_that_was_suspended_exits_without_a_write_when_another_leads(
    apiserver: ApiServer,
    place: Place,
    user: User,
    make_limited_user: MakeUser,
    tmp_path: Path,
) -> None:
    other = await make_operator_user(make_limited_user, "second")
    async with run_operator(user, tmp_path, namespace=place.namespace, lease_seconds=10.0) as first:
        await first.leads()
        await place.make()
        await place.until(in_phase("Asleep"))
        async with run_operator(
            other, tmp_path, namespace=place.namespace, lease_seconds=10.0
        ) as second:
            first.pause()
            await second.leads()
            since = await apiserver.audit.position()
            await place.make("two")
            await place.until(in_phase("Asleep"), "two")
            first.resume()
            assert await asyncio.to_thread(first.process.wait, 60) == 3
            assert await writes(apiserver, user, since=since) == []


@pytest.mark.parametrize("seed", range(3))
async def test_an_operator_killed_at_any_step_is_finished_by_the_next(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    names = [f"b{number}" for number in range(8)]
    kubelet.address = lambda pod: "127.0.0.1"
    for name in names:
        await place.make(name, replicas=1)
    for _ in range(4):
        async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
            await operator.leads()
            # Not a wait for something: the moment of the kill is what varies.
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            operator.kill()
        # Nothing of this is about the time until the next may lead.
        await place.admin.delete(f"{place.leases}/{LEASE}")
        victim = chance.choice(names)
        await place.change(victim, pod={"labels": {"try": str(chance.randrange(1000))}})
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        for name in names:
            await place.until(lambda one: "endpoint" in one.get("status", {}), name)
        for name in names:
            pod = await place.pod(name=f"rb-{name}-0")
            bridge = await place.until(
                lambda one, uid=pod["metadata"]["uid"]: (  # type: ignore[misc]
                    one["status"]["endpoint"]["podUID"] == uid
                ),
                name,
            )
            assert condition(bridge, "Accepted")["status"] == "True"
        assert not [line for line in operator.lines() if line.get("msg") == "look broke"]


@pytest.mark.parametrize("code", [500, 503, 429, 409])
async def test_refusals_of_an_overtaxed_server_only_delay(
    *, place: Place, user: User, kubelet: Kubelet, api_proxy: ApiProxy, tmp_path: Path, code: int
) -> None:
    async with run_operator(
        user.at(api_proxy.url), tmp_path, namespace=place.namespace
    ) as operator:
        await operator.leads()
        wait = 1 if code == 429 else None
        faults = [
            api_proxy.refuse(code, method="PATCH", path=path, times=2, retry_after_seconds=wait)
            for path in ("networkpolicies/", "persistentvolumeclaims/", "secrets/", "/status$")
        ]
        faults.append(
            api_proxy.refuse(code, method="POST", path="/pods$", retry_after_seconds=wait)
        )
        await place.make(replicas=1)
        await place.until(in_phase("Ready"))
        assert all(fault.used.is_set() for fault in faults)


async def test_calls_that_are_cut_off_or_never_answered_are_made_again(
    place: Place, user: User, kubelet: Kubelet, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    async with run_operator(
        user.at(api_proxy.url), tmp_path, namespace=place.namespace, call_seconds=3.0
    ) as operator:
        await operator.leads()
        faults = [
            api_proxy.cut(method="PATCH", path="networkpolicies/"),
            api_proxy.hang(method="PATCH", path="secrets/"),
            # It was made, though nobody was told.
            api_proxy.cut(method="POST", path="/pods$", carried_out=True),
            api_proxy.cut(method="PATCH", path="/status$", carried_out=True),
        ]
        await place.make(replicas=1)
        await place.until(in_phase("Ready"))
        assert all(fault.used.is_set() for fault in faults)
        pods = (await place.admin.get(place.pods))["items"]
        assert [pod["metadata"]["name"] for pod in pods] == [POD]


async def test_what_was_missed_while_a_watch_was_too_old_is_found(
    place: Place, user: User, kubelet: Kubelet, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    async with run_operator(
        user.at(api_proxy.url), tmp_path, namespace=place.namespace, resync_seconds=2.0
    ) as operator:
        await operator.leads()
        await place.make(replicas=1)
        await place.until(in_phase("Ready"))
        before = (await place.pod())["metadata"]["uid"]
        fault = api_proxy.expire_watches(times=8)
        with api_proxy.silence_watches(path="/pods"):
            # Deleted while nothing is heard: no watch will ever tell of it.
            await place.admin.delete(f"{place.pods}/{POD}")
            await place.admin.wait_for(
                place.pods,
                POD,
                lambda pod: pod is None or pod["metadata"]["uid"] != before,
            )
            api_proxy.cut_watches()
        await fault.used.wait()
        after = (await place.pod(other_than=before))["metadata"]["uid"]
        await place.until(lambda one: one["status"].get("endpoint", {}).get("podUID") == after)


async def test_a_watch_that_has_gone_silent_is_begun_anew(
    place: Place, user: User, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    async with run_operator(
        user.at(api_proxy.url), tmp_path, namespace=place.namespace, watch_silence_seconds=2.0
    ) as operator:
        await operator.leads()
        await place.make()
        await place.until(in_phase("Asleep"))
        with api_proxy.silence_watches(path="/repobridges"):
            await place.make("two")
            # The watches that hang are given up, and new ones begun, which are silent as well.
            async with asyncio.timeout(120):
                begun = api_proxy.watches(path="/repobridges")
                while sum(s.is_watch and "repobridges" in s.path for s in api_proxy.seen) <= begun:
                    await asyncio.sleep(0.05)
        await place.until(in_phase("Asleep"), "two")


async def test_an_operator_waits_for_an_api_server_that_is_not_there_yet(
    place: Place, user: User, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    await place.make()
    faults = [
        api_proxy.refuse(503, path="/leases", times=2),
        api_proxy.refuse(500, path="/secrets", times=1),
        api_proxy.refuse(403, path="/repobridges$", times=1),
    ]
    async with run_operator(user.at(api_proxy.url), tmp_path, namespace=place.namespace):
        await place.until(in_phase("Asleep"))
        assert all(fault.used.is_set() for fault in faults)


async def test_watches_that_end_with_an_error_nobody_foresaw_are_begun_again(
    place: Place, user: User, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    async with run_operator(
        user.at(api_proxy.url), tmp_path, namespace=place.namespace
    ) as operator:
        await operator.leads()
        await place.make()
        await place.until(in_phase("Asleep"))
        fault = api_proxy.refuse(422, method="GET", path="/repobridges$")
        assert api_proxy.cut_watches(path="/repobridges") > 0
        await fault.used.wait()
        await operator.logged("the watches ended, they are begun again")
        await place.make("two")
        await place.until(in_phase("Asleep"), "two")
