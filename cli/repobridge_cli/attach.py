"""`repobridge attach`: a session's live terminal on this one, which is always given back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from repobridge import telemetry
from repobridge.errors import Refusal
from repobridge.session import codec
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge_cli.cluster.kubectl import Kubectl
from repobridge_cli.detach import DetachKeys
from repobridge_cli.local_client import NotServing
from repobridge_cli.place import Place, opened_runner
from repobridge_gateway.fleet.observed import ClusterError
from repobridge_gateway.lines import one_line

if TYPE_CHECKING:
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub

DETACHED, ENDED, UNREACHED = 0, 1, 2
_QUEUE_LENGTH = 256
_READ_BYTES = 4096
# The session paints on a screen of its own, so that the person's comes back as it was.
_TAKE_SCREEN = "\x1b[?1049h\x1b[H\x1b[2J"
# What a full-screen program may have left on: alternate screen, hidden cursor, mouse reports,
# focus reports, bracketed paste, application keys, the kitty and xterm key protocols, colours.
_PUT_BACK = (
    "\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l"
    "\x1b[?2026l\x1b[?1l\x1b>\x1b[<u\x1b[>4m\x1b[r\x1b[0m\x1b[?1049l"
)


def run(
    *,
    name: str,
    conversation: str,
    read_only: bool,
    socket: str = "",
    cluster: Kubectl | None = None,
) -> int:
    """Attaches; returns the exit code."""
    place = Place(name, conversation, socket, cluster)
    telemetry.configure(level=logging.ERROR)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("repobridge attach needs a terminal; to ask: repobridge chat NAME", file=sys.stderr)
        return UNREACHED
    try:
        return asyncio.run(_attach(place, read_only=read_only))
    except (NotServing, ClusterError, Refusal) as error:
        print(error.message if isinstance(error, Refusal) else error, file=sys.stderr)
        return UNREACHED


async def _attach(place: Place, *, read_only: bool) -> int:
    name = place.name
    async with opened_runner(place, _say) as (channel, me):
        how = "watching" if read_only else "attached to"
        print(f"{how} {name} · detach with Ctrl-\\ or Ctrl-P Ctrl-Q", file=sys.stderr)
        stub = SessionServiceStub(channel)
        header = pb.AttachHeader(
            conversation_id=place.conversation_id,
            actor=codec.to_pb(me, pb.Actor),
            read_only=read_only,
            size=_size(),
            start=True,
        )
        with _raw_terminal(sys.stdin.fileno()):
            ended = await _Attached(stub, header).run()
    print(f"detached from {name}" if ended is None else one_line(ended), file=sys.stderr)
    return DETACHED if ended is None else ENDED


def _say(text: str) -> None:
    print(text, file=sys.stderr)


class _Attached:
    """Typed bytes and window sizes up, the terminal's output down."""

    def __init__(self, stub: SessionServiceAsyncStub, header: pb.AttachHeader) -> None:
        self._stub = stub
        self._header = header
        self._requests: asyncio.Queue[pb.AttachRequest] = asyncio.Queue(_QUEUE_LENGTH)
        self._keys = DetachKeys()
        self._detached = asyncio.Event()

    async def run(self) -> str | None:
        """Runs until the person detaches (None) or the terminal ends (why)."""
        loop = asyncio.get_running_loop()
        stdin = sys.stdin.fileno()
        loop.add_reader(stdin, self._readable, stdin)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self._detached.set)
        output = asyncio.create_task(self._output())
        detached = asyncio.create_task(self._detached.wait())
        try:
            await asyncio.wait({output, detached}, return_when=asyncio.FIRST_COMPLETED)
            return output.result() if output.done() else None
        finally:
            loop.remove_reader(stdin)
            for task in (output, detached):
                task.cancel()
            await asyncio.gather(output, detached, return_exceptions=True)

    async def _output(self) -> str:
        call = self._stub.Attach(self._sent())
        try:
            async for response in call:
                kind = response.WhichOneof("part")
                if kind == "output":
                    await asyncio.to_thread(_write_all, sys.stdout.fileno(), response.output)
                elif kind == "ended":
                    return response.ended or "The terminal ended."
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if refusal.reason != "UNREACHABLE":
                raise refusal from error
            return "The connection to the session was closed."
        return "The terminal ended."

    async def _sent(self) -> AsyncIterator[pb.AttachRequest]:
        yield pb.AttachRequest(header=self._header)
        while True:
            yield await self._requests.get()

    def _readable(self, stdin: int) -> None:
        try:
            data = os.read(stdin, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        passed = self._keys.feed(data)
        if passed and not self._header.read_only:
            self._put(pb.AttachRequest(input=passed))
        if self._keys.detached or not data:
            self._detached.set()

    def _resized(self) -> None:
        self._put(pb.AttachRequest(resize=_size()))

    def _put(self, request: pb.AttachRequest) -> None:
        # Full when the other side has stopped reading: what is typed then is lost, as on a line.
        with contextlib.suppress(asyncio.QueueFull):
            self._requests.put_nowait(request)


@contextmanager
def _raw_terminal(stdin: int) -> Iterator[None]:
    before = termios.tcgetattr(stdin)
    try:
        tty.setraw(stdin, termios.TCSADRAIN)
        _write_all(sys.stdout.fileno(), _TAKE_SCREEN.encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            _write_all(sys.stdout.fileno(), _PUT_BACK.encode())
        with contextlib.suppress(termios.error):
            termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _size() -> pb.WindowSize:
    size = shutil.get_terminal_size()
    return pb.WindowSize(columns=size.columns, rows=size.lines)
