"""The baseline of a session: the CLI in a bare PTY, and a hook server that keeps nothing.

It is started as the runner starts it, with the same arguments, hooks and configuration, and does
the least that a driver can do: no journal, no gRPC, one reader.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.hook_sink import HookSink
from repobridge_runner import inputs
from repobridge_runner.agents import claude_launch
from repobridge_runner.agents.base import Start
from repobridge_runner.agents.transcript import transcript_path
from repobridge_runner.hooks import HookEndpoint
from repobridge_runner.prompts import make_system_prompt
from repobridge_runner.screen import PROMPT
from repobridge_runner.settings import AgentSettings

QUIET_SECONDS = 0.5
"""How long the runner, too, waits for silence behind the painted prompt."""
_ECHO_SECONDS = 2.0
_STILL_SECONDS = 0.1
_TAKEN_SECONDS = 3.0
_READ_BYTES = 1 << 16
_PATIENCE_SECONDS = 60.0
_HELD_SECONDS = 600


class BareClaude:
    """One process of the CLI on a bare PTY."""

    def __init__(
        self, agent: AgentSettings, *, directory: Path, home: Path, environment: Mapping[str, str]
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._config = home / "claude"
        self._environment = dict(environment)
        self._session_id = str(uuid.uuid4())
        self._hooks = HookSink()
        self._process: subprocess.Popen[bytes]
        self._master: int
        self._seen = b""
        self._output = asyncio.Event()
        self._last_output = 0.0
        self._painted = asyncio.Event()

    @property
    def pid(self) -> int:
        """The process id of the CLI."""
        return self._process.pid

    async def start(self) -> float:
        """Starts the CLI, or resumes it; returns the seconds until it stood at its prompt."""
        if not self._hooks.port:
            await self._hooks.start()
        words, environment = self._command()
        self._painted.clear()
        self._seen = b""
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        started = self._last_output = time.perf_counter()
        self._process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd=self._directory,
            env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._painted.wait()
            await self._quiet(QUIET_SECONDS)
        return time.perf_counter() - started

    async def stop(self) -> None:
        """Ends the CLI."""
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait, _PATIENCE_SECONDS)
        self._close()

    async def close(self) -> None:
        """Ends what is left."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._close()
        await self._hooks.close()

    async def first_delta(self, prompt: str) -> float:
        """Submits a prompt; returns the seconds until its first text, after the turn's end."""
        return await self._until("MessageDisplay", prompt)

    async def taken(self, prompt: str) -> float:
        """Types a prompt; returns the seconds until the CLI has taken it, after the turn's end."""
        return await self._until("UserPromptSubmit", prompt)

    async def _until(self, hook: str, prompt: str) -> float:
        """Where the CLI lost the Enter, its turn is brought to its end, and another is measured."""
        while (elapsed := await self._turn(hook, prompt)) is None:
            pass
        return elapsed

    async def _turn(self, hook: str, prompt: str) -> float | None:
        loop = asyncio.get_running_loop()
        names = ("UserPromptSubmit", "MessageDisplay", "Stop")
        heard = {name: loop.create_future() for name in names}

        def hear(told: Mapping[str, Any]) -> None:
            first = heard.get(told["hook_event_name"])
            if first is not None and not first.done() and told.get("delta", "-"):
                first.set_result(time.perf_counter())

        self._hooks.listener = hear
        await self._quiet(_STILL_SECONDS)
        started = time.perf_counter()
        await self._submit(prompt)
        done, _ = await asyncio.wait({heard["UserPromptSubmit"]}, timeout=_TAKEN_SECONDS)
        if not done:
            os.write(self._master, inputs.ENTER)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await asyncio.gather(*heard.values())
        return heard[hook].result() - started if done else None

    async def _quiet(self, seconds: float) -> None:
        while (left := self._last_output + seconds - time.perf_counter()) > 0:
            await asyncio.sleep(left)

    async def _submit(self, prompt: str) -> None:
        self._output.clear()
        os.write(self._master, inputs.paste(prompt))
        # Enter behind the repaint, as it may else be taken as a part of the paste.
        try:
            async with asyncio.timeout(_ECHO_SECONDS):
                await self._output.wait()
        except TimeoutError:
            pass
        os.write(self._master, inputs.ENTER)

    def _command(self) -> tuple[list[str], dict[str, str]]:
        endpoint = HookEndpoint(f"http://127.0.0.1:{self._hooks.port}/", "token")
        start = Start(
            session_id=self._session_id,
            directory=self._directory,
            model="",
            permission_mode=self._agent.permission_mode,
            system_prompt=make_system_prompt("", outbox=self._config),
        )
        environment = claude_launch.make_environment(
            self._environment, agent=self._agent, start=start,
            config_directory=self._config, endpoint=endpoint,
        )  # fmt: skip
        claude_launch.seed_configuration(
            self._config, directory=self._directory, environment=environment
        )
        transcript = transcript_path(self._config, self._directory, self._session_id)
        words = claude_launch.make_arguments(
            self._agent.executable, start, endpoint=endpoint,
            has_transcript=transcript.exists(), allowed_tools=(), held_seconds=_HELD_SECONDS,
        )  # fmt: skip
        return words, environment

    def _read(self) -> None:
        try:
            data = os.read(self._master, _READ_BYTES)
        except OSError:  # the end of a terminal
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self._last_output = time.perf_counter()
        self._output.set()
        if not self._painted.is_set():
            if PROMPT.encode() in self._seen + data:
                self._painted.set()
            self._seen = data[-2:]

    def _close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1


@asynccontextmanager
async def bare_claude(
    agent: AgentSettings, *, directory: Path, home: Path, environment: Mapping[str, str]
) -> AsyncIterator[BareClaude]:
    """The CLI at its prompt, until the end of the block."""
    bare = BareClaude(agent, directory=directory, home=home, environment=environment)
    await bare.start()
    try:
        yield bare
    finally:
        await bare.close()
