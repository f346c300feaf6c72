"""A person at an attached terminal, as tests have one: types bytes, and looks at the screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import grpc
import pyte

from repobridge.session.v1 import session_pb2 as pb
from tests.live_runner import ANN, PATIENCE_SECONDS, LiveRunner

KEY_ENTER = b"\r"
KEY_ESCAPE = b"\x1b"


class LiveTerminal:
    """One attached terminal; what it receives is painted by pyte."""

    def __init__(self, runner: LiveRunner, header: pb.AttachHeader) -> None:
        self.received = b""
        self.ended = ""
        self.screen = pyte.Screen(header.size.columns, header.size.rows)
        self._stream = pyte.ByteStream(self.screen)
        self._painted = asyncio.Condition()
        self._call = runner.stub.Attach()
        self._header = header
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._call.write(pb.AttachRequest(header=self._header))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call.cancel()
        assert self._reading is not None
        await asyncio.gather(self._reading, return_exceptions=True)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, without the space at the ends of lines."""
        return [line.rstrip() for line in self.screen.display]

    async def type(self, keys: bytes) -> None:
        """Sends keys."""
        await self._call.write(pb.AttachRequest(input=keys))

    async def resize(self, *, columns: int, rows: int) -> None:
        """Gives the terminal another size, here and there."""
        self.screen.resize(rows, columns)
        size = pb.WindowSize(columns=columns, rows=rows)
        await self._call.write(pb.AttachRequest(resize=size))

    async def shows(self, text: str) -> None:
        """Waits until a text stands on the screen."""
        await self.until(lambda: any(text in line for line in self.lines))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something about the screen is true."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._painted:
                await self._painted.wait_for(condition)
        except TimeoutError:
            raise AssertionError("it did not show:\n" + "\n".join(self.lines)) from None

    async def _read(self) -> None:
        try:
            async for part in self._call:
                async with self._painted:
                    self.received += part.output
                    self._stream.feed(part.output)
                    self.ended = part.ended or self.ended
                    self._painted.notify_all()
        except grpc.aio.AioRpcError as error:
            async with self._painted:
                self.ended = error.details() or str(error.code())
                self._painted.notify_all()


@asynccontextmanager
async def attached(
    runner: LiveRunner,
    *,
    conversation_id: str = "main",
    actor: pb.Actor = ANN,
    read_only: bool = False,
    start: bool = False,
    columns: int = 100,
    rows: int = 40,
) -> AsyncIterator[LiveTerminal]:
    """Attaches somebody to a conversation's terminal."""
    header = pb.AttachHeader(
        conversation_id=conversation_id,
        actor=actor,
        read_only=read_only,
        size=pb.WindowSize(columns=columns, rows=rows),
        start=start,
    )
    async with LiveTerminal(runner, header) as terminal:
        yield terminal
