"""A person's terminal, or a pipe in its place: lines out, typed lines in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import termios
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol, TextIO

from repobridge_gateway.lineedit import (
    PASTE_OFF,
    PASTE_ON,
    Entered,
    Key,
    LineEditor,
    shown,
    width,
)
from repobridge_gateway.lines import Line, Tone

_COLOURS = {
    Tone.FAINT: "2",
    Tone.TOOL: "36",
    Tone.PERSON: "1;34",
    Tone.ASK: "1;33",
    Tone.GOOD: "32",
    Tone.WARNING: "33",
    Tone.ERROR: "31",
}
_ERASE_LINE = "\r\x1b[K"
_READ_BYTES = 4096
_QUEUE_LENGTH = 1000


class Console(Protocol):
    """Where a conversation is held."""

    interactive: bool
    """False: lines come from a pipe, and are taken one at a time, when there is need of one."""

    def print(self, lines: Iterable[Line]) -> None:
        """Shows lines."""

    def prompt(self, text: str) -> None:
        """Shows what stands before the line that is typed."""

    async def read(self) -> Entered | Key:
        """Waits for what is typed next; Key.END when nothing more can come."""


class TerminalConsole:
    """A terminal: what is said scrolls by above the line that is typed."""

    interactive = True

    def __init__(self, *, stdin: int, out: TextIO, colour: bool) -> None:
        self._stdin = stdin
        self._out = out
        self._colour = colour
        self._editor = LineEditor()
        self._prompt = ""
        self._typed: asyncio.Queue[Entered | Key] = asyncio.Queue(_QUEUE_LENGTH)
        self._open = False

    @contextmanager
    def opened(self) -> Iterator[TerminalConsole]:
        """Takes the terminal over, and gives it back as it was, whatever happens."""
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(self._stdin)
        taken = termios.tcgetattr(self._stdin)
        taken[0] &= ~(termios.ICRNL | termios.IXON)
        taken[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        taken[6][termios.VMIN], taken[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._stdin, termios.TCSADRAIN, taken)
        self._open = True
        try:
            loop.add_reader(self._stdin, self._readable)
            self._write(PASTE_ON)
            yield self
        finally:
            loop.remove_reader(self._stdin)
            self._open = False
            with contextlib.suppress(OSError, ValueError):
                self._write(_ERASE_LINE + PASTE_OFF)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._stdin, termios.TCSADRAIN, before)

    def print(self, lines: Iterable[Line]) -> None:
        """Shows lines above the one that is typed."""
        text = "".join(f"{painted(line, colour=self._colour)}\n" for line in lines)
        if text:
            self._write((_ERASE_LINE if self._open else "") + text + self._drawn())

    def prompt(self, text: str) -> None:
        """Shows what stands before the line that is typed."""
        if text != self._prompt:
            self._prompt = text
            self._redraw()

    async def read(self) -> Entered | Key:
        """Waits for what is typed next."""
        return await self._typed.get()

    def take_text(self) -> str:
        """The unfinished line, which is forgotten."""
        text = self._editor.text
        self._editor.clear()
        self._redraw()
        return text

    def _readable(self) -> None:
        try:
            data = os.read(self._stdin, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._stdin)
            self._put(Key.END)
            return
        for event in self._editor.feed(data):
            if isinstance(event, Entered) and event.text.strip():
                # What was typed stays as a line of the conversation.
                echo = painted(Line(f"{self._prompt}{shown(event.text)}"), colour=False)
                self._write(f"{_ERASE_LINE}{echo}\n")
            if event is Key.REDRAW:
                self._write("\x1b[H\x1b[2J")
            else:
                self._put(event)
        self._redraw()

    def _put(self, event: Entered | Key) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._typed.put_nowait(event)

    def _redraw(self) -> None:
        if self._open:
            self._write(_ERASE_LINE + self._drawn())

    def _drawn(self) -> str:
        """The prompt and as much of the line around the cursor as one row holds."""
        if not self._open:
            return ""
        room = max(10, shutil.get_terminal_size().columns - width(self._prompt) - 1)
        before, after = shown(self._editor.before), shown(self._editor.text)
        after = after[len(before) :]
        if width(before) >= room:
            while width(before) >= room - 1:
                before = before[max(1, (width(before) - room) // 2) :]
            before = f"…{before}"
        while width(before) + width(after) > room:
            after = after[:-1]
        back = f"\x1b[{width(after)}D" if after else ""
        return f"{self._prompt}{before}{after}{back}"

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class PipeConsole:
    """Lines from a pipe or a file, and plain lines out."""

    interactive = False

    def __init__(self, *, source: IO[bytes], out: TextIO, colour: bool = False) -> None:
        self._source = source
        self._out = out
        self._colour = colour

    def print(self, lines: Iterable[Line]) -> None:
        """Writes lines."""
        for line in lines:
            self._out.write(f"{painted(line, colour=self._colour)}\n")
        self._out.flush()

    def prompt(self, text: str) -> None:
        """Shows nothing."""

    async def read(self) -> Entered | Key:
        """Waits for the next line."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()

        def settle(data: bytes) -> None:
            if not future.done():
                future.set_result(data)

        def read_line() -> None:
            try:
                data = self._source.readline(1 << 20)
            except (OSError, ValueError):
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, data)

        # A daemon, so that a pipe that never ends does not keep the program from ending.
        threading.Thread(target=read_line, daemon=True, name="stdin").start()
        data = await future
        return Entered(data.decode(errors="replace").rstrip("\n")) if data else Key.END


class ConsoleStream:
    """A text stream for logs that appear as lines of a console."""

    def __init__(self, console: TerminalConsole) -> None:
        self._console = console

    def write(self, text: str) -> int:
        """Shows whole lines; `logging` writes nothing else."""
        stripped = text.rstrip("\n")
        if stripped:
            self._console.print(Line(line, Tone.FAINT) for line in stripped.split("\n"))
        return len(text)

    def flush(self) -> None:
        """Does nothing: every line is shown at once."""


def painted(line: Line, *, colour: bool) -> str:
    """A line as a terminal shows it."""
    code = _COLOURS.get(line.tone) if colour else None
    return f"\x1b[{code}m{line.text}\x1b[0m" if code and line.text else line.text
