"""What the imitation was asked, and a way to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.fakes.anthropic.requests import Kind, MessagesRequest

_T = TypeVar("_T")


@dataclass(frozen=True)
class Refusal:
    """A request that the imitation did not take, as the real API would not have."""

    method: str
    path: str
    status: int
    error_type: str
    message: str


class Record:
    """Requests by what became of them; `aborted` are those whose client went away."""

    def __init__(self) -> None:
        self.requests: list[MessagesRequest] = []
        self.side_requests: list[MessagesRequest] = []
        self.aborted: list[MessagesRequest] = []
        self.refusals: list[Refusal] = []
        self._changed = asyncio.Condition()

    async def wait_until(self, condition: Callable[[], bool], *, timeout: float = 90.0) -> None:
        """Wait until something about the recorded requests is true."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError as error:
            asked = [request.last_user_text for request in self.requests]
            raise TimeoutError(f"asked so far: {asked}; refused: {self.refusals}") from error

    async def wait_for_request(
        self,
        predicate: Callable[[MessagesRequest], bool] = lambda request: True,
        *,
        timeout: float = 90.0,
    ) -> MessagesRequest:
        """The first conversation request that satisfies, already there or still to come."""
        await self.wait_until(lambda: any(map(predicate, self.requests)), timeout=timeout)
        return next(filter(predicate, self.requests))

    async def note_request(self, request: MessagesRequest) -> None:
        """Record an accepted request."""
        is_side = request.kind is not Kind.CONVERSATION
        await self._append(self.side_requests if is_side else self.requests, request)

    async def note_abort(self, request: MessagesRequest) -> None:
        """Record that the client left before its answer was complete."""
        await self._append(self.aborted, request)

    async def note_refusal(self, refusal: Refusal) -> None:
        """Record a request that was not taken."""
        await self._append(self.refusals, refusal)

    async def _append(self, items: list[_T], item: _T) -> None:
        async with self._changed:
            items.append(item)
            self._changed.notify_all()
