"""Calls to Valkey that come together go together: one journey for all that wait.

Whoever's turn it is carries the calls of those behind it too, so that nobody is overtaken, and no
task is needed that outlives its callers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

from repobridge_gateway.limits.valkey.connection import FAULTS, Client

SIZE = 64
"""Calls that go together at most."""


@dataclass(slots=True, eq=False)
class _Call:
    script: AsyncScript
    keys: Sequence[str]
    question: str
    outcome: asyncio.Future[Any] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def alone(self) -> Any:
        """Makes the call by itself, and gives the server the script if it lacks it."""
        return await self.script(keys=self.keys, args=[self.question])

    def end(self, result: Any) -> None:
        if isinstance(result, Exception):
            self.outcome.set_exception(result)
        else:
            self.outcome.set_result(result)


class Batches:
    """Makes calls of scripts, all of which may be made twice."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turn = asyncio.Lock()
        # In the order of those who wait for their turn.
        self._waiting: deque[_Call] = deque()

    async def call(self, script: AsyncScript, keys: Sequence[str], question: str) -> Any:
        """What a script answers; raises one of FAULTS, or whatever else the client raises."""
        call = _Call(script, keys, question)
        self._waiting.append(call)
        try:
            async with self._turn:
                if not call.outcome.done():
                    await self._carry()
        except BaseException:
            call.outcome.cancel()  # nobody is to make it any more
            raise
        return call.outcome.result()

    async def _carry(self) -> None:
        """Makes the calls that have waited longest, among them that of whoever's turn it is."""
        batch: list[_Call] = []
        while self._waiting and len(batch) < SIZE:
            call = self._waiting.popleft()
            if not call.outcome.done():  # else its caller has gone
                batch.append(call)
        try:
            results = await self._make(batch)
        except FAULTS as error:
            results = [error] * len(batch)
        except BaseException:
            # The next in turn is one of these, or comes after them.
            self._waiting.extendleft(reversed(batch))
            raise
        for call, result in zip(batch, results, strict=True):
            if not call.outcome.done():
                call.end(result)

    async def _make(self, batch: Sequence[_Call]) -> Sequence[Any]:
        if not isinstance(self._client, Redis) or len(batch) == 1:
            # A cluster's keys lie apart, and its client carries no scripts together.
            return await asyncio.gather(*(call.alone() for call in batch), return_exceptions=True)
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, call.question)
        results = await pipeline.execute(raise_on_error=False)
        return [
            await call.alone() if isinstance(result, NoScriptError) else result
            for call, result in zip(batch, results, strict=True)
        ]
