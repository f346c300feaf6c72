"""A real `repobridge serve` and the terminals around it, as processes of their own."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from repobridge.process import read_process
from tests.fakes.anthropic import FakeAnthropic

WAIT_SECONDS = 90.0
COMMAND = (sys.executable, "-m", "repobridge_cli")
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[^\[])")


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass
class LiveServe:
    """A running `serve` on one repo named "demo"."""

    process: asyncio.subprocess.Process
    environment: Mapping[str, str]
    directory: Path
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def bridge_dir(self) -> Path:
        """What serve keeps of the bridge."""
        return self.directory / "state/repobridge/bridges/demo"

    def runner_pid(self) -> int:
        """The runner's process, which must be there."""
        return int((self.bridge_dir / "runner.pid").read_text().split()[0])

    async def logged(self, text: str, *, times: int = 1) -> str:
        """Waits until serve has logged a text; returns the line."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(found := [line for line in self.log if text in line]) < times:
                await self._changed.wait()
        return found[times - 1]

    async def chat(self, *arguments: str, stdin: bytes | None = None) -> Ran:
        """Runs `repobridge chat demo …` to its end."""
        return await finished(await self.start_chat(*arguments), stdin)

    async def start_chat(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts `repobridge chat demo …` on pipes."""
        return await start(self.environment, "chat", "demo", *arguments)

    @asynccontextmanager
    async def terminal(self, *arguments: str) -> AsyncIterator[LiveTerminal]:
        """A command on a terminal of its own."""
        async with live_terminal(self.environment, *arguments) as terminal:
            yield terminal

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.log.append(line.decode().rstrip())
            self._changed.set()
            self._changed = asyncio.Event()


class LiveTerminal:
    """What is on a pseudo-terminal, and a way to type there."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self._changed = asyncio.Event()
        self.raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._screen = pyte.Screen(100, 30)
        self._painter = pyte.Stream(self._screen)
        asyncio.get_running_loop().add_reader(master, self._readable)

    @property
    def text(self) -> str:
        """Everything shown so far, without the sequences."""
        return _SEQUENCES.sub("", self.raw).replace("\r", "")

    async def shows(self, text: str, *, times: int = 1) -> str:
        """Waits until a text has been shown (so often); returns all that was."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while self.text.count(text) < times:
                    await self._changed.wait()
        except TimeoutError as error:
            raise AssertionError(f"{text!r} never came; shown:\n{self.text}") from error
        return self.text

    @property
    def screen(self) -> list[str]:
        """The rows as a person sees them."""
        return [row.rstrip() for row in self._screen.display]

    async def has_on_screen(self, text: str) -> None:
        """Waits until a row of the screen holds a text."""
        await self.until(lambda: any(text in row for row in self.screen), what=repr(text))

    async def until(self, holds: Callable[[], bool], *, what: str = "it") -> None:
        """Waits until something about the screen is true."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds():
                    await self._changed.wait()
        except TimeoutError as error:
            rows = "\n".join(self.screen)
            raise AssertionError(f"{what} never came; on the screen:\n{rows}") from error

    def type(self, text: str) -> None:
        """Types."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Changes the window's size."""
        self._screen.resize(rows, columns)
        termios.tcsetwinsize(self._master, (rows, columns))
        # The command has no controlling terminal, whose kernel would tell it.
        self._process.send_signal(signal.SIGWINCH)

    def mode(self) -> list[object]:
        """The terminal's attributes."""
        return list(termios.tcgetattr(self._master))

    async def ended(self) -> int:
        """Waits for the command's end; returns its exit code."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._process.wait()

    def signal(self, number: int) -> None:
        """Sends the command a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Stops reading, and ends the command if it lives."""
        asyncio.get_running_loop().remove_reader(self._master)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        text = self._decoder.decode(data)
        self.raw += text
        self._painter.feed(text)
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def live_terminal(
    environment: Mapping[str, str], *arguments: str
) -> AsyncIterator[LiveTerminal]:
    """`repobridge …` on a new pseudo-terminal of 100 × 30."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=slave, stdout=slave, stderr=slave, env=dict(environment)
    )
    os.set_blocking(master, False)
    terminal = LiveTerminal(process, master)
    try:
        yield terminal
    finally:
        terminal.close()
        await process.wait()
        # Held open till now: with no slave left, the attributes could not be asked for.
        os.close(slave)
        os.close(master)


@asynccontextmanager
async def live_serve(
    directory: Path,
    repository: Path,
    *,
    claude: Path,
    api: FakeAnthropic,
    idle_timeout: str = "10m",
    rate_limit: str = "{enabled: false}",
    defaults: str = "",
    repo: str = "provider: terminal",
    arguments: tuple[str, ...] = (),
) -> AsyncIterator[LiveServe]:
    """`repobridge serve` on a repository; with the same directory it is the same one again."""
    environment = make_environment(directory, api)
    write_config(
        directory,
        repository,
        claude=claude,
        idle_timeout=idle_timeout,
        rate_limit=rate_limit,
        defaults=defaults,
        repo=repo,
    )
    process = await start(environment, "serve", *arguments)
    serve = LiveServe(process, environment, directory)
    try:
        await serve.logged("listening")
        yield serve
    finally:
        if process.returncode is None:
            await serve.stop()


def make_environment(directory: Path, api: FakeAnthropic | None) -> dict[str, str]:
    """A built environment with places of its own."""
    (directory / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "home").mkdir(exist_ok=True)
    key = {"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.base_url} if api else {}
    return {
        "HOME": str(directory / "home"),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "NO_COLOR": "1",
        "XDG_STATE_HOME": str(directory / "state"),
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "LLM_BRIDGE_CONFIG": str(directory / "llm-bridge.yaml"),
        **key,
    }


def write_config(
    directory: Path,
    repository: Path,
    *,
    claude: Path,
    idle_timeout: str,
    rate_limit: str = "{enabled: false}",
    defaults: str = "",
    repo: str = "provider: terminal",
) -> None:
    """A configuration of one repo."""
    text = (
        f"repos:\n  demo: {{{repo}, working_dir: {repository}}}\n"
        f"defaults:\n  claude_path: {claude}\n  idle_timeout: {idle_timeout}\n"
        f"  rate_limit: {rate_limit}\n{defaults}"
    )
    (directory / "llm-bridge.yaml").write_text(text)


async def start(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    """Starts `repobridge …` on pipes."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
    )


async def run(environment: Mapping[str, str], *arguments: str) -> Ran:
    """Runs `repobridge …` to its end."""
    return await finished(await start(environment, *arguments))


async def saying(process: asyncio.subprocess.Process, text: str) -> None:
    """Waits until a command has said a text on stderr; what it said so far is used up."""
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(WAIT_SECONDS):
        while text.encode() not in said:
            part = await process.stderr.read(4096)
            assert part, f"it ended without {text!r}; it said:\n{said.decode()}"
            said += part


async def finished(
    process: asyncio.subprocess.Process,
    stdin: bytes | None = None,
    *,
    seconds: float = WAIT_SECONDS,
) -> Ran:
    """Waits for a command's end."""
    talking = asyncio.create_task(process.communicate(stdin))
    done, _ = await asyncio.wait({talking}, timeout=seconds)
    if not done:
        process.kill()
    out, err = await talking
    assert done, f"the command did not end; it said:\n{out.decode()}\n{err.decode()}"
    return Ran(process.returncode or 0, out.decode(), err.decode())


def lives(pid: int) -> bool:
    """Whether a process runs."""
    process = read_process(pid)
    return process is not None and not process.is_zombie
