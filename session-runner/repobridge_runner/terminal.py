"""An agent's process on a pseudo-terminal: its output to many, its input from one bounded buffer.

Everything here runs on the event loop and does a bounded piece of work at a time, so that a flood
from one terminal leaves room for every other socket; and no reader, however slow, holds up the
process or another reader.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL, SIGTERM

from repobridge.errors import RepoBridgeError
from repobridge_runner.child import Child, ExitStatus, LaunchFailed
from repobridge_runner.oom import OomCounter, counter_files
from repobridge_runner.viewer import Dropped, Ring, Viewer

__all__ = [
    "Dropped", "ExitStatus", "LaunchFailed", "Terminal", "TerminalClosed", "TerminalFull",
    "Viewer", "WindowSize",
]  # fmt: skip

INPUT_BYTES = 1 << 20
"""How much input may wait for a child that does not read."""
_READS_PER_TURN = 16
_READ_BYTES = 1 << 16
_SHORT_READ_BYTES = 2048
_LAST_OUTPUT_SECONDS = 0.5


class TerminalFull(RepoBridgeError):
    """The child does not read its input, and the buffer before it is full."""


class TerminalClosed(RepoBridgeError):
    """The child is gone, and with it whoever could read the input."""


@dataclass(frozen=True)
class WindowSize:
    """The size of a terminal in characters; `resize` keeps each within 1 and 1000."""

    columns: int
    rows: int


class Terminal:
    """A child process whose standard streams are a pseudo-terminal; make it with `spawn`."""

    def __init__(self, *, master: int, ring_bytes: int, oom: OomCounter) -> None:
        self._loop = asyncio.get_running_loop()
        self._master = master
        self._ring = Ring(ring_bytes)
        self._oom = oom
        self._observers: list[Callable[[bytes], None]] = []
        self._viewers: list[Viewer] = []
        self._input = bytearray()
        self._input_moved = asyncio.Event()
        self._writing = asyncio.Lock()
        self._output_over = asyncio.Event()
        self._ended_by_us = False
        self._child: Child | None = None
        self._end: asyncio.Task[ExitStatus] | None = None
        self.output_bytes = 0
        """How many bytes the child has written so far."""

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        size: WindowSize,
        ring_bytes: int = 256 * 1024,
        closed_directories: Sequence[Path] = (),
        oom: OomCounter | None = None,
    ) -> Terminal:
        """Starts a program that leads its own session on a new terminal; raises LaunchFailed.

        The program gets exactly `environment` and one variable more, which marks its tree. It
        and its descendants can't use `closed_directories` where the kernel has Landlock; see
        launch.py for what that costs. It dies with the calling thread.
        """
        master, slave = os.openpty()
        os.set_blocking(master, False)
        _set_size(master, size)
        terminal = cls(master=master, ring_bytes=ring_bytes, oom=oom or OomCounter(counter_files()))
        try:
            child = await Child.start(
                argv,
                environment=environment,
                directory=directory,
                terminal=slave,
                closed_directories=closed_directories,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        terminal._begin(child)
        return terminal

    def _begin(self, child: Child) -> None:
        self._child = child
        self._loop.add_reader(self._master, self._read)
        self._end = asyncio.create_task(self._until_the_end(child), name=f"terminal {child.pid}")

    @property
    def pid(self) -> int:
        """The process id of the child, which is also its session and its process group."""
        assert self._child is not None, "made by spawn"
        return self._child.pid

    def write(self, data: bytes) -> None:
        """Hands over input without waiting; raises TerminalFull (nothing is taken then)."""
        if self._output_over.is_set():
            raise TerminalClosed("The terminal's process has ended.")
        if len(self._input) + len(data) > INPUT_BYTES:
            raise TerminalFull(f"{len(self._input)} bytes of input still wait for the process.")
        was_empty = not self._input
        self._input += data
        if was_empty:
            self._flush()

    async def drain(self) -> None:
        """Waits until the kernel has taken all input; raises TerminalClosed."""
        while self._input:
            await self._next_move()

    async def write_all(self, data: bytes) -> None:
        """Writes input of any length, waiting for room; two calls at once do not mix."""
        async with self._writing:
            view = memoryview(data)
            while view:
                room = INPUT_BYTES - len(self._input)
                if room <= 0:
                    await self._next_move()
                    continue
                self.write(bytes(view[:room]))
                view = view[room:]
            await self.drain()

    def resize(self, size: WindowSize) -> None:
        """Changes the size; the kernel tells the foreground process."""
        if not self._output_over.is_set():
            _set_size(self._master, size)

    def observe(self, callback: Callable[[bytes], None]) -> Callable[[], None]:
        """Calls back with each piece of output, at once; returns how to stop that."""
        self._observers.append(callback)

        def stop() -> None:
            if callback in self._observers:
                self._observers.remove(callback)

        return stop

    def recent(self) -> bytes:
        """Returns the recent raw output, from a place where a terminal can begin to read."""
        return self._ring.content()

    def viewer(self, *, buffer_bytes: int = 1 << 20) -> Viewer:
        """Returns a follower of the output: first the recent past, then what comes."""
        viewer = Viewer(
            first=self._ring.content(), buffer_bytes=buffer_bytes, on_close=self._forget
        )
        if self._output_over.is_set():
            viewer.end()
        else:
            self._viewers.append(viewer)
        return viewer

    def _forget(self, viewer: Viewer) -> None:
        if viewer in self._viewers:
            self._viewers.remove(viewer)

    def signal(self, number: int) -> None:
        """Signals the child's process group; nothing happens once it is gone."""
        assert self._child is not None, "made by spawn"
        self._ended_by_us = self._ended_by_us or number == SIGKILL
        self._child.signal(number)

    async def wait(self) -> ExitStatus:
        """Waits until the child has ended, its output is read, and what it left is killed."""
        assert self._end is not None, "made by spawn"
        return await asyncio.shield(self._end)

    async def end(self, *, grace_seconds: float) -> ExitStatus:
        """Ends the child: SIGTERM, and after the grace SIGKILL to everything that it started."""
        assert self._child is not None, "made by spawn"
        self.signal(SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await self._child.exited()
        except TimeoutError:
            self._ended_by_us = True
            await self._child.kill()
        return await self.wait()

    async def _until_the_end(self, child: Child) -> ExitStatus:
        status = await child.exited()
        out_of_memory = (
            status.signal == SIGKILL and not self._ended_by_us and self._oom.rose_recently()
        )
        await child.kill()
        try:
            async with asyncio.timeout(_LAST_OUTPUT_SECONDS):
                await self._output_over.wait()
        except TimeoutError:
            self._close()  # somebody out of our reach still holds the terminal
        return replace(status, out_of_memory=out_of_memory)

    def _read(self) -> None:
        # A terminal gives 4 KiB a read at most; several a turn keep the loop's own cost low,
        # and the bound leaves it to the other sockets soon.
        pieces: list[bytes] = []
        over = False
        for _ in range(_READS_PER_TURN):
            try:
                data = os.read(self._master, _READ_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:  # EIO: nobody holds the other side any more
                    raise
                data = b""
            if not data:
                over = True
                break
            pieces.append(data)
            if len(data) < _SHORT_READ_BYTES:
                break  # the next read would most likely find nothing
        if pieces:
            self._deliver(b"".join(pieces))
        if over:
            self._close()

    def _deliver(self, data: bytes) -> None:
        self.output_bytes += len(data)
        self._ring.append(data)
        for observer in tuple(self._observers):
            observer(data)
        for viewer in self._viewers:
            viewer.feed(data)

    def _flush(self) -> None:
        while self._input:
            try:
                taken = os.write(self._master, self._input)
            except BlockingIOError:
                self._loop.add_writer(self._master, self._flush)
                return
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break  # nobody is left to read it, as the reader is about to learn
            del self._input[:taken]
            self._moved()
        self._loop.remove_writer(self._master)

    def _moved(self) -> None:
        self._input_moved.set()
        self._input_moved = asyncio.Event()

    async def _next_move(self) -> None:
        if self._output_over.is_set():
            raise TerminalClosed("The terminal's process has ended.")
        await self._input_moved.wait()

    def _close(self) -> None:
        if self._output_over.is_set():
            return
        self._output_over.set()
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        os.close(self._master)
        self._moved()
        for viewer in self._viewers:
            viewer.end()
        self._viewers.clear()


def _set_size(descriptor: int, size: WindowSize) -> None:
    # A program may hold a cell for each place, and a viewer may ask for any number of them.
    rows, columns = (min(max(1, number), 1000) for number in (size.rows, size.columns))
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
