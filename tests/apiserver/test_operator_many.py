"""Many bridges at once: all are applied, then nobody writes, and fifty of them wake at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.operators import Operator, make_operator_user, run_operator
from tests.apiserver.rest import Object, Rest
from tests.apiserver.test_operator import Place, writes
from tests.fakes.fates import Running
from tests.fakes.kubelet import run_kubelet

_CREATORS = 8
_STEADY_SECONDS = 300.0
_LARGEST_MB = 160
"""Against leaks and copies of everything; what it takes at rest is the benchmark's to measure."""
_WAKES = 50


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_operator_user(make_limited_user)


@pytest.mark.parametrize(
    "count",
    [100, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
async def test_bridges_made_at_once_are_applied_once_and_then_left_alone(
    *,
    apiserver: ApiServer,
    admin: Rest,
    namespace: str,
    user: User,
    tmp_path: Path,
    count: int,
    record_property: Callable[[str, object], None],
) -> None:
    place = Place(admin, namespace)
    async with run_operator(user, tmp_path, namespace=namespace) as operator:
        await operator.leads()
        began = time.monotonic()
        await _make(place, count)
        await _all_asleep(operator, count)
        record_property("seconds_to_steady", round(time.monotonic() - began, 1))
        record_property("megabytes", resident_megabytes(operator))
        assert resident_megabytes(operator) <= _LARGEST_MB
        asked = Counter(resource for _, resource, _ in await writes(apiserver, user))
        assert await operator.terminate() == 0
    assert asked == dict.fromkeys(
        ("networkpolicies", "persistentvolumeclaims", "repobridges/status", "secrets"), count
    )
    since = await apiserver.audit.position()
    async with run_operator(user, tmp_path, namespace=namespace) as operator:
        await operator.leads()
        # Twice: a full look comes soon after the watches began.
        await _looked(operator, 2 * count)
        record_property("megabytes_at_rest", resident_megabytes(operator))
        assert await writes(apiserver, user, since=since) == []
        assert resident_megabytes(operator) <= _LARGEST_MB
        await _fifty_wake_and_nothing_is_written_twice(apiserver, place, user, operator)


async def _fifty_wake_and_nothing_is_written_twice(
    apiserver: ApiServer, place: Place, user: User, operator: Operator
) -> None:
    names = [f"b{number}" for number in range(_WAKES)]
    since = await apiserver.audit.position()
    version = (await place.admin.get(place.bridges))["metadata"]["resourceVersion"]
    changes = Changes(place)
    following = asyncio.create_task(changes.follow(since=version))
    async with run_kubelet(place.admin, namespace=place.namespace) as kubelet:
        kubelet.address = lambda pod: "127.0.0.1"
        kubelet.fate = lambda pod: Running(ready=False)
        await asyncio.gather(*(place.scale(1, name) for name in names))
        await changes.until(lambda last: all("endpoint" in last[name]["status"] for name in names))
    assert await operator.terminate() == 0
    found = (await place.admin.get(place.bridges))["items"]
    final = {one["metadata"]["name"]: one for one in found if one["metadata"]["name"] in names}
    await changes.until(lambda last: all(_version(last[n]) == _version(final[n]) for n in names))
    following.cancel()
    asked = Counter(await writes(apiserver, user, since=since))
    assert {what: times for what, times in asked.items() if what[1] == "pods"} == {
        ("create", "pods", f"rb-{name}-0"): 1 for name in names
    }
    # What is written twice changes nothing the second time. One change each was the wish.
    statuses = {name: asked["patch", "repobridges/status", name] for name in names}
    assert statuses == {name: changes.counts[name] - 1 for name in names}
    # Nobody serves there, which a busy machine may leave time to tell.
    assert {what for _, what, _ in asked} <= {"events", "pods", "repobridges/status"}


class Changes:
    """How often each bridge changed, and its last state."""

    def __init__(self, place: Place) -> None:
        self.counts: Counter[str] = Counter()
        self._place = place
        self._last: dict[str, Object] = {}
        self._news = asyncio.Event()

    async def follow(self, *, since: str) -> None:
        """Never ends; a busy server ends watches that are slow to read, and they go on."""
        while True:
            async with aclosing(self._place.admin.watch(self._place.bridges, since=since)) as told:
                async for event in told:
                    metadata = event["object"]["metadata"]
                    since = metadata["resourceVersion"]
                    self.counts[metadata["name"]] += 1
                    self._last[metadata["name"]] = event["object"]
                    self._news.set()

    async def until(self, holds: Callable[[Mapping[str, Object]], bool]) -> None:
        """Waits until this is so of the last states; of a bridge that did not change it is not."""
        async with asyncio.timeout(_STEADY_SECONDS):
            while not _is_so(holds, self._last):
                self._news.clear()
                await self._news.wait()


def _is_so(holds: Callable[[Mapping[str, Object]], bool], last: Mapping[str, Object]) -> bool:
    try:
        return holds(last)
    except KeyError:
        return False


def _version(found: Object) -> str:
    version: str = found["metadata"]["resourceVersion"]
    return version


async def _looked(operator: Operator, count: int) -> None:
    """Waits until it has looked at bridges so many times since it started."""
    async with asyncio.timeout(_STEADY_SECONDS):
        while await operator.metric("repobridge_operator_reconciles_total") < count:
            await asyncio.sleep(0.1)


async def _make(place: Place, count: int) -> None:
    async def some(first: int) -> None:
        for number in range(first, count, _CREATORS):
            await place.make(f"b{number}", discord={"channelId": str(10**17 + number)})

    await asyncio.gather(*(some(first) for first in range(_CREATORS)))


async def _all_asleep(operator: Operator, count: int) -> None:
    async with asyncio.timeout(_STEADY_SECONDS):
        while await operator.metric("repobridge_operator_bridges", phase="Asleep") < count:
            await asyncio.sleep(0.1)


def resident_megabytes(operator: Operator) -> float:
    """What the process holds in memory."""
    text = Path(f"/proc/{operator.pid}/status").read_text()
    [line] = [each for each in text.splitlines() if each.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
