"""What stands behind the chat: the imitations of Discord and of the model's API, and `serve`.

Everything is in one temporary directory and in processes that are ended by their own id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from scripts.demo.sample import NAME

ROOT = Path(__file__).parent.parent.parent
_LONGEST_BASE = 40
"""Of the temporary directory's parent: sockets below it have 100 bytes for their whole path."""
_SHORT_BASE = "/tmp"  # noqa: S108 - the directory in it is made with a name of its own
_MADE_UP_KEY = "made-up-key-of-the-demo"
_MADE_UP_TOKEN = "made-up-token-of-the-demo"  # noqa: S105 - nobody but the imitation takes it
_UP_SECONDS = 30.0
_END_SECONDS = 20.0
_REACHES_A_MODEL = re.compile(r"(ANTHROPIC|CLAUDE)_.*|.*_proxy", re.IGNORECASE)
_CONFIG = """\
repos:
  {name}:
    provider: discord
    channel_id: {channel}
    working_dir: {directory}
defaults:
  claude_path: {claude}
providers:
  discord:
    bot_token: {token}
    api_base: {api}
serve:
  socket: {socket}
"""


class DemoError(Exception):
    """The demo can't go on; the message is one sentence."""


class Child:
    """A process of ours, in a session of its own so that Ctrl-C in the terminal is not for it."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name

    @classmethod
    async def start(
        cls, name: str, *arguments: str, environment: Mapping[str, str], output: str
    ) -> Child:
        """Starts a Python module; `output` says which of its streams is read."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            cwd=ROOT,
            env=environment,
            stdin=DEVNULL,
            stdout=PIPE if output == "stdout" else DEVNULL,
            stderr=PIPE if output == "stderr" else DEVNULL,
            start_new_session=True,
        )
        return cls(process, name)

    @property
    def lines(self) -> asyncio.StreamReader:
        """What it writes to the stream that is read."""
        found = self._process.stdout or self._process.stderr
        assert found is not None
        return found

    def hurry(self) -> None:
        """Asks it to end; a second time: at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    async def end(self) -> None:
        """Asks it to end and waits; kills it when it does not."""
        if self._process.returncode is None:
            self.hurry()
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()


class Stage:
    """Where the demo plays: a directory, an environment, and what was started in it."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._children: list[Child] = []
        self._reading: set[asyncio.Task[None]] = set()
        self._discord: dict[str, str] = {}
        self.directory = directory
        home = directory / "home"
        home.mkdir()
        temporary = directory / "tmp"
        temporary.mkdir()
        # What the agent runs finds the Python that runs this.
        path = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
        self.environment = {
            **environment,
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PATH": path,
            "XDG_STATE_HOME": str(directory / "state"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
        }

    @property
    def repository(self) -> Path:
        """The sample repository."""
        return self.directory / NAME

    @property
    def socket(self) -> Path:
        """Where `serve` listens."""
        return self.directory / "serve.sock"

    async def imitate_the_model(self) -> None:
        """Starts the imitation of the API, and lets nothing lead to the real one."""
        own = {k: v for k, v in self.environment.items() if not _REACHES_A_MODEL.fullmatch(k)}
        child = await Child.start(
            *("imitation", "tests.fakes.anthropic", "--port", "0", "--scenario", "demo"),
            *("--key", _MADE_UP_KEY),
            environment=own,
            output="stdout",
        )
        self._children.append(child)
        first = (await child.lines.readline()).decode().strip()
        if not first.startswith("http://127.0.0.1:"):
            raise DemoError("the imitation of the API did not start")
        self.environment = {
            **own,
            "ANTHROPIC_BASE_URL": first,
            "ANTHROPIC_API_KEY": _MADE_UP_KEY,
        }

    @property
    def page(self) -> str:
        """Where a browser shows the channel."""
        return self._discord["page"]

    async def imitate_discord(self) -> None:
        """Starts the imitation of Discord with a channel of the repository's name."""
        child = await Child.start(
            *("imitation", "tests.fakes.discord", "--channel", NAME, "--person", "you"),
            *("--token", _MADE_UP_TOKEN),
            environment=self.environment,
            output="stdout",
        )
        self._children.append(child)
        last = f"channel {NAME}"
        while last not in self._discord:
            if not (line := (await child.lines.readline()).decode()):
                raise DemoError("the imitation of Discord did not start")
            name, _, value = line.strip().partition(": ")
            self._discord[name] = value

    async def serve(self, claude: Path) -> None:
        """Starts `repobridge serve` and waits until it listens; both imitations are there."""
        config = self.directory / "demo.yaml"
        values = {
            "directory": self.repository,
            "claude": claude,
            "socket": self.socket,
            "channel": self._discord[f"channel {NAME}"],
            "token": _MADE_UP_TOKEN,
            "api": self._discord["api"],
        }
        written = {name: json.dumps(str(value)) for name, value in values.items()}
        config.write_text(_CONFIG.format(name=NAME, **written), encoding="utf-8")
        (self.directory / "run").mkdir(mode=0o700)
        child = await Child.start(
            *("serve", "repobridge_cli", "serve", "--config", str(config), "--log-format", "json"),
            environment=self.environment,
            output="stderr",
        )
        self._children.append(child)
        log = _Log(child.lines)
        self._reading.add(asyncio.create_task(log.read()))
        try:
            async with asyncio.timeout(_UP_SECONDS):
                await log.settled.wait()
        except TimeoutError as error:
            raise DemoError(f"repobridge serve was not up in {_UP_SECONDS:.0f} s") from error
        if not log.listening:
            raise DemoError(f"repobridge serve ended: {log.last}")

    def hurry(self) -> None:
        """Asks everything to end; a second time: at once."""
        for child in self._children:
            child.hurry()

    async def end(self) -> None:
        """Ends what was started, the last first."""
        for child in reversed(self._children):
            await child.end()
        await asyncio.gather(*self._reading)


class _Log:
    """Reads the log of `serve` until it ends, so that its pipe never fills."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines
        self._last: deque[str] = deque(["no reason given"], maxlen=1)
        self.listening = False
        self.settled = asyncio.Event()

    @property
    def last(self) -> str:
        """The last line."""
        return self._last[0]

    async def read(self) -> None:
        """Reads on."""
        while line := await self._lines.readline():
            message = _message(line.decode(errors="replace").strip())
            self._last.append(message)
            if message == "listening":
                self.listening = True
                self.settled.set()
        self.settled.set()


def _message(line: str) -> str:
    try:
        return str(json.loads(line)["msg"])
    except (ValueError, KeyError, TypeError):
        return line


@asynccontextmanager
async def staged(environment: Mapping[str, str]) -> AsyncIterator[Stage]:
    """A stage, which is cleared afterwards whatever happens."""
    with tempfile.TemporaryDirectory(
        prefix="demo-", dir=_base(), ignore_cleanup_errors=True
    ) as directory:
        stage = Stage(Path(directory), environment)
        try:
            yield stage
        finally:
            await stage.end()


def _base() -> str:
    base = os.path.realpath(tempfile.gettempdir())
    return base if len(os.fsencode(base)) <= _LONGEST_BASE else os.path.realpath(_SHORT_BASE)


def claude_path(environment: Mapping[str, str]) -> Path:
    """The pinned Claude CLI, which `make setup` installed."""
    found = subprocess.run(
        [ROOT / "scripts/install-claude"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if found.returncode:
        raise DemoError("the Claude CLI could not be installed (see above)")
    return Path(found.stdout.strip())


__all__ = ["DemoError", "Stage", "claude_path", "staged"]
