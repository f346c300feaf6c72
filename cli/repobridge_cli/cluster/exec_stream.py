"""The runner's socket in a pod, as a stream of bytes: the standard streams of `kubectl exec`."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from repobridge.tunnel import serve_tunnel
from repobridge_cli.cluster.kubectl import Kubectl, end, words_of
from repobridge_gateway.fleet.observed import ClusterError
from repobridge_gateway.session_client import CHANNEL_OPTIONS

CONTAINER = "runner"
_RELAY = ("repobridge-runner", "relay")
_PIECE_BYTES = 64 * 1024
_FINAL = re.compile(r"forbidden|unauthorized|must be logged in|executable file not found", re.I)


class ExecDialler:
    """Dials a pod's runner; remembers what kubectl last said when that failed."""

    def __init__(self, kubectl: Kubectl, pod: str) -> None:
        self._kubectl = kubectl
        self._pod = pod
        self._said: deque[bytes] = deque(maxlen=20)
        self._listening: set[asyncio.Task[None]] = set()

    async def dial(self) -> ExecStream:
        """Starts one exec."""
        process = await self._kubectl.start(
            "exec", "-i", self._pod, "-c", CONTAINER, "--", *_RELAY, stdin=PIPE
        )
        listening = asyncio.create_task(self._listen(process))
        self._listening.add(listening)
        listening.add_done_callback(self._listening.discard)
        return ExecStream(process)

    @property
    def last_words(self) -> str:
        """What kubectl said last; empty where it said nothing."""
        return words_of(b"".join(self._said)) if self._said else ""

    def check(self) -> None:
        """Raises ClusterError where no other try can succeed."""
        words = self.last_words
        if _FINAL.search(words):
            raise ClusterError(f"kubectl exec into pod {self._pod} is refused: {words}")

    async def _listen(self, process: Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._said.append(line)


class ExecStream:
    """One exec's standard streams."""

    def __init__(self, process: Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    async def read(self) -> bytes:
        """The next bytes."""
        return await self._out.read(_PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        """Sends bytes."""
        self._in.write(data)
        await self._in.drain()

    async def close(self) -> None:
        """Ends the exec."""
        await end(self._process)


@asynccontextmanager
async def opened_channel(dialler: ExecDialler) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the runner that a dialler reaches; it connects when it is used."""
    tunnel = await serve_tunnel(dialler.dial)
    try:
        async with grpc.aio.insecure_channel(tunnel.target, options=CHANNEL_OPTIONS) as channel:
            yield channel
    finally:
        await tunnel.close()
