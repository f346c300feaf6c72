"""A wish for a pod until its address is told, for one bridge and for fifty: without a node.

What stands in for the node gives each pod its address at once, so that what is left is the API
server's work and ours. A bare pod is the same pod, made by one request.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks.apiplace import Room, api_place
from benchmarks.bare_objects import bare_pod
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, Samples
from benchmarks.result import MILLISECONDS, Comparison, Row
from benchmarks.sightings import GONE, Facts, Sightings, sightings
from repobridge_operator.resources import naming
from tests.apiserver.rest import Object, Rest, RestError
from tests.fakes.kubelet import run_kubelet

_MANY = 50
_PAIRS_A_ROUND = 10  # fifty at once are dear
_MADE, _ADDRESS, _ASLEEP, _ENDPOINT = "made", "address", "asleep", "endpoint"


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds from the request, ascending."""

    made: tuple[float, ...]
    known: tuple[float, ...]


async def run(setting: Setting) -> Sequence[Row]:
    """Bridges and bare pods in turn, each round with new ones."""
    async with api_place(setting.directory) as place:
        room = await place.room("wake")
        watched: Mapping[str, Facts] = {
            room.place.pods: {_MADE: lambda pod: True, _ADDRESS: _has_address},
            room.place.bridges: {_ASLEEP: _is_asleep, _ENDPOINT: _has_endpoint},
        }
        async with (
            run_kubelet(place.admin, namespace=room.place.namespace) as kubelet,
            room.operator() as operator,
            sightings(place.admin, watched) as seen,
        ):
            # Nobody serves there, and no packet leaves this machine.
            kubelet.address = lambda pod: "127.0.0.1"
            await operator.leads()
            wakes = await _Wakes.begin(room, seen)
            alone = await _rounds(wakes, 1, setting.pairs)
            setting.say(f"  {_MANY} at once …")
            many = await _rounds(wakes, _MANY, max(1, setting.pairs // _PAIRS_A_ROUND))
    return [*_rows("one bridge", alone), *_rows(f"{_MANY} bridges at once", many)]


def _rows(who: str, pairs: tuple[Pairs, Pairs]) -> list[Row]:
    made, known = pairs
    return [
        Row(
            f"{who}, PATCH /scale → {what}",
            each,
            MILLISECONDS,
            comparison,
            quantile,
            baseline_name=baseline,
        )
        for what, each, baseline in (
            ("pod made", made, "bare pods: POST → made"),
            ("status.endpoint", known, "bare pods: POST → address"),
        )
        for quantile, comparison in (
            (0.5, Comparison.DIFFERENCE),
            (0.5, Comparison.RATIO),
            (0.95, Comparison.DIFFERENCE),
        )
    ]


class _Wakes:
    """Makes bridges and pods, and takes their times."""

    def __init__(self, room: Room, seen: Sightings) -> None:
        self._place = room.place
        self._seen = seen
        self._numbers: Iterator[int] = itertools.count()
        self._pod: Object = {}

    @classmethod
    async def begin(cls, room: Room, seen: Sightings) -> _Wakes:
        """With a first wake, of which the bare pod is a copy."""
        wakes = cls(room, seen)
        (name,) = await wakes._asleep(1)
        await wakes._place.scale(1, name)
        await seen.first(_ENDPOINT, name)
        wakes._pod = bare_pod(await room.place.pod(name=naming.pod_name(name)))
        await wakes._remove([name])
        return wakes

    async def bridges(self, count: int) -> _Times:
        """Wakes so many sleeping bridges at once."""
        names, scale = await self._asleep(count), self._place.scale
        started = time.perf_counter()
        await asyncio.gather(*(scale(1, name) for name in names))
        pods = [naming.pod_name(name) for name in names]
        made = [await self._seen.first(_MADE, pod) - started for pod in pods]
        known = [await self._seen.first(_ENDPOINT, name) - started for name in names]
        await self._remove(names)
        return _Times(tuple(sorted(made)), tuple(sorted(known)))

    async def bare(self, count: int) -> _Times:
        """Makes so many bare pods at once."""
        names = [f"bare-{next(self._numbers)}" for _ in range(count)]
        place, metadata = self._place, self._pod["metadata"]
        pods = [{**self._pod, "metadata": {**metadata, "name": name}} for name in names]
        started = time.perf_counter()
        await asyncio.gather(*(place.admin.create(place.pods, pod) for pod in pods))
        made = [await self._seen.first(_MADE, name) - started for name in names]
        known = [await self._seen.first(_ADDRESS, name) - started for name in names]
        await self._remove_pods(names)
        return _Times(tuple(sorted(made)), tuple(sorted(known)))

    async def _asleep(self, count: int) -> list[str]:
        names = [f"wake-{next(self._numbers)}" for _ in range(count)]
        await asyncio.gather(*(self._place.make(name) for name in names))
        for name in names:
            await self._seen.first(_ASLEEP, name)
        return names

    async def _remove(self, names: Sequence[str]) -> None:
        place = self._place
        await asyncio.gather(*(place.admin.delete(f"{place.bridges}/{name}") for name in names))
        # Nobody makes the pods again; the collector would come to them later.
        await self._remove_pods([naming.pod_name(name) for name in names])

    async def _remove_pods(self, names: Sequence[str]) -> None:
        place = self._place
        await asyncio.gather(*(_delete(place.admin, f"{place.pods}/{name}") for name in names))
        for name in names:
            await self._seen.first(GONE, name)


async def _delete(admin: Rest, path: str) -> None:
    try:
        await admin.delete(path)
    except RestError as error:
        if error.code != HTTPStatus.NOT_FOUND:  # the collector was faster
            raise


async def _rounds(wakes: _Wakes, count: int, rounds: int) -> tuple[Pairs, Pairs]:
    """The times until pods are made, and until addresses are known; the first round warms up."""
    ours: list[_Times] = []
    bare: list[_Times] = []
    for number in range(-1, rounds):
        if number % 2:
            theirs = await wakes.bare(count)
            found = await wakes.bridges(count)
        else:
            found = await wakes.bridges(count)
            theirs = await wakes.bare(count)
        if number >= 0:
            ours.append(found)
            bare.append(theirs)
    return (
        Pairs(_all(each.made for each in ours), _all(each.made for each in bare)),
        Pairs(_all(each.known for each in ours), _all(each.known for each in bare)),
    )


def _all(rounds: Iterable[tuple[float, ...]]) -> Samples:
    """The fastest of one side beside the fastest of the other, and so on."""
    return Samples(tuple(itertools.chain.from_iterable(rounds)))


def _has_address(pod: Object) -> bool:
    return bool(pod["status"].get("podIP"))


def _is_asleep(bridge: Object) -> bool:
    return bool(bridge.get("status", {}).get("phase") == "Asleep")


def _has_endpoint(bridge: Object) -> bool:
    return "endpoint" in bridge.get("status", {})


BENCHMARK = Benchmark(
    name="wake-api",
    about="PATCH /scale until the pod's address is told, one and 50 at once (API server, no node)",
    run=run,
)
