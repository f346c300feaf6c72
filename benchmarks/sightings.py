"""When something was first seen to be so: watches on collections, each answer with its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.apiserver.rest import Object, Rest

Facts = Mapping[str, Callable[[Object], bool]]
"""By name, what may become true of an object."""
_PATIENCE_SECONDS = 120.0
GONE = "gone"
"""The fact that an object was deleted; it needs no name among the facts."""


class Sightings:
    """The first `perf_counter` at which each fact held for each object."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], asyncio.Future[float]] = {}
        self._following: tuple[asyncio.Task[None], ...] = ()

    async def first(self, fact: str, name: str) -> float:
        """When it was seen; waits until it is, and fails when a watch does."""
        awaited = self._of(fact, name)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            either: list[asyncio.Future[Any]] = [awaited, *self._following]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for each in self._following:
            if each.done():
                each.result()
        return awaited.result()

    def _of(self, fact: str, name: str) -> asyncio.Future[float]:
        if (fact, name) not in self._first:
            self._first[fact, name] = asyncio.get_running_loop().create_future()
        return self._first[fact, name]

    def _saw(self, fact: str, name: str, now: float) -> None:
        first = self._of(fact, name)
        if not first.done():
            first.set_result(now)

    async def _follow(self, admin: Rest, collection: str, *, since: str, facts: Facts) -> None:
        """Never ends; a busy server ends watches that are slow to read, and they go on."""
        while True:
            async for event in admin.watch(collection, since=since):
                now, found = time.perf_counter(), event["object"]
                name, since = found["metadata"]["name"], found["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._saw(GONE, name, now)
                    continue
                for fact, holds in facts.items():
                    if holds(found):
                        self._saw(fact, name, now)


@asynccontextmanager
async def sightings(admin: Rest, watched: Mapping[str, Facts]) -> AsyncIterator[Sightings]:
    """Watches collections, by their paths, until the end of the block."""
    seen = Sightings()
    versions = {path: (await admin.get(path))["metadata"]["resourceVersion"] for path in watched}
    seen._following = following = tuple(
        asyncio.create_task(seen._follow(admin, path, since=versions[path], facts=facts))
        for path, facts in watched.items()
    )
    try:
        yield seen
    finally:
        for each in following:
            each.cancel()
        await asyncio.wait(following)
