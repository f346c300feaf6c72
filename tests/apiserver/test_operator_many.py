"""Many bridges at once: all become applied, then nobody writes, this operator or the next."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.operators import Operator, make_operator_user, run_operator
from tests.apiserver.rest import Rest
from tests.apiserver.test_operator import Place, writes

_CREATORS = 8
_STEADY_SECONDS = 300.0
_LARGEST_MB = 120


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_operator_user(make_limited_user)


@pytest.mark.parametrize(
    "count",
    [200, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
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


async def _make(place: Place, count: int) -> None:
    async def some(first: int) -> None:
        for number in range(first, count, _CREATORS):
            await place.make(f"b{number}", discord={"channelId": str(10**17 + number)})

    await asyncio.gather(*(some(first) for first in range(_CREATORS)))


async def _looked(operator: Operator, count: int) -> None:
    """Waits until it has looked at bridges so many times since it started."""
    async with asyncio.timeout(_STEADY_SECONDS):
        while await operator.metric("repobridge_operator_reconciles_total") < count:
            await asyncio.sleep(0.1)


async def _all_asleep(operator: Operator, count: int) -> None:
    async with asyncio.timeout(_STEADY_SECONDS):
        while await operator.metric("repobridge_operator_bridges", phase="Asleep") < count:
            await asyncio.sleep(0.1)


def resident_megabytes(operator: Operator) -> float:
    """What the process holds in memory."""
    text = Path(f"/proc/{operator.pid}/status").read_text()
    [line] = [each for each in text.splitlines() if each.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
