"""The receiving end of a stamping agent's times."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class Stamps:
    """A FIFO in which the agent tells at which `perf_counter`, the same here, a byte came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._times: asyncio.Queue[float] = asyncio.Queue(1000)

    def __enter__(self) -> Self:
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    async def next(self) -> float:
        """The next byte's time."""
        async with asyncio.timeout(30):
            return await self._times.get()

    def _read(self) -> None:
        for line in os.read(self._descriptor, 1 << 12).split():
            self._times.put_nowait(float(line))
