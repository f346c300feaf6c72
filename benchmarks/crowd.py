"""A crowd of which each writes once, held against a limit in memory by one of three.

    python -m benchmarks.crowd

The configuration: `by`, who decides. The act `write` has `count` people write who never wrote
before.
"""

from __future__ import annotations

import asyncio
import itertools

from limits.aio.storage import MemoryStorage
from throttled.asyncio import MemoryStore

from benchmarks.commanded import Json, configuration, obey
from benchmarks.deciders import WINDOW, Decide, by_ledger, by_limits, by_throttled
from repobridge_gateway.limits.memory import SIZE, MemoryLedger

_RULES = (WINDOW,)
"""Its states all count for an hour: none is over before the last person has written."""


def _decide(by: str) -> Decide:
    match by:
        case "ours":
            return by_ledger(MemoryLedger(), _RULES)
        case "throttled-py":
            return by_throttled(MemoryStore(options={"MAX_SIZE": SIZE}), _RULES)
        case _:
            return by_limits(MemoryStorage(), _RULES)


async def main(config: Json) -> None:
    """Decides until nobody tells it anything any more."""
    decide = _decide(config["by"])
    people = itertools.count()

    async def write(count: int) -> Json:
        granted = 0
        for person in itertools.islice(people, count):
            granted += await decide(person)
        return {"granted": granted}

    await obey({"write": write})


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
