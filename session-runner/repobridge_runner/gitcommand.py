"""Runs git: with an environment of its own, a deadline, bounded output, and nothing left behind.

The repository is hostile, and so may be its `.git/config`, which the agent can write. So no hook,
monitor, pager, prompt or helper that it names is ever run, and only listed protocols are spoken.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repobridge.errors import RepoBridgeError
from repobridge_runner import reaper
from repobridge_runner.redact import Redactor

_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|XDG_CONFIG_HOME|SSH_AUTH_SOCK|SSL_CERT_(FILE|DIR)"
    r"|GIT_SSL_(CAINFO|CAPATH)|(?i:(https?|all|no)_proxy)"
)
_FIXED = {
    "LC_ALL": "C.UTF-8",
    "GIT_TERMINAL_PROMPT": "0",
    # Set but empty: the programs that a repository's configuration names are not asked either.
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=30",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": ":",
    "GIT_OPTIONAL_LOCKS": "0",
}
_HARMLESS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.gitProxy": "",
    "core.bigFileThreshold": "8m",
    "diff.external": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "protocol.ext.allow": "never",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "60",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "log.showSignature": "false",
}
_TERMINATE_SECONDS = 2.0
_ERROR_BYTES = 64 << 10


@dataclass(frozen=True)
class GitResult:
    """What a finished git said."""

    code: int
    stdout: bytes
    stderr: str
    cut: bool = False
    """True when it had more to say than was asked for, and was ended."""

    @property
    def text(self) -> str:
        """The output without its last newline."""
        return self.stdout.decode("utf-8", "replace").rstrip("\n")


class GitError(RepoBridgeError):
    """A git that failed, or did not end in time; the sentence is redacted."""

    def __init__(self, command: str, code: int | None, last_line: str, stderr: str = "") -> None:
        super().__init__(f"git {command}: {last_line}")
        self.command = command
        self.code = code
        """None: it was ended at its deadline, or never started."""
        self.last_line = last_line
        self.disk_full = "No space left on device" in stderr or "Disk quota exceeded" in stderr


def make_environment(
    base: Mapping[str, str], *, protocols: Sequence[str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of our own git commands: what is needed of `base`, and what is safe."""
    passed = {name: value for name, value in base.items() if _PASSED_ON.fullmatch(name)}
    allowed = {"GIT_ALLOW_PROTOCOL": ":".join(protocols)}
    return {**passed, **_FIXED, **allowed, **(extra or {})}


def configuration(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Configuration as git takes it from its environment, above every file's."""
    variables = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for index, (name, value) in enumerate(pairs):
        variables[f"GIT_CONFIG_KEY_{index}"] = name
        variables[f"GIT_CONFIG_VALUE_{index}"] = value
    return variables


class Git:
    """Runs git commands in one environment."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        config: Sequence[tuple[str, str]] = (),
        redactor: Redactor | None = None,
        deadline_seconds: float = 120.0,
    ) -> None:
        self._environment = dict(environment)
        self._config = [*_HARMLESS.items(), *config]
        self._redactor = redactor or Redactor()
        self._deadline_seconds = deadline_seconds

    async def run(
        self,
        *arguments: str,
        directory: Path,
        check: bool = True,
        output_bytes: int = 1 << 20,
        deadline_seconds: float | None = None,
        on_line: Callable[[str], None] | None = None,
        config: Sequence[tuple[str, str]] = (),
        variables: Mapping[str, str] | None = None,
    ) -> GitResult:
        """Runs one command to its end; raises GitError when it fails, unless `check` is false.

        `on_line` gets each line of stderr as it comes, progress included. Output beyond
        `output_bytes` ends the command. When cancelled, or at the deadline, its whole process
        group is ended first.
        """
        deadline = self._deadline_seconds if deadline_seconds is None else deadline_seconds
        environment = {
            **self._environment,
            **configuration([*self._config, *config]),
            **(variables or {}),
        }
        stdout, stderr = _Output(output_bytes), _Lines(on_line)
        async with _Pipe.opened() as out, _Pipe.opened() as errors:
            process = await self._start(arguments, directory, environment, out, errors)
            try:
                async with asyncio.timeout(deadline):
                    await _follow(process, (out, stdout), (errors, stderr))
            except TimeoutError:
                last = f"did not end within {deadline:g} seconds"
                raise GitError(arguments[0], None, last, stderr.text) from None
            finally:
                await _end(process)
        code = process.returncode if process.returncode is not None else -1
        if check and code != 0 and not stdout.cut:
            raise GitError(arguments[0], code, self._last_line(stderr.text, code), stderr.text)
        return GitResult(code, bytes(stdout.kept), self._redactor.text(stderr.text), stdout.cut)

    async def _start(
        self,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        out: _Pipe,
        errors: _Pipe,
    ) -> asyncio.subprocess.Process:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                "git",
                *arguments,
                cwd=directory,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out.write_end,
                stderr=errors.write_end,
                start_new_session=True,
            )
        )
        try:
            # Cancelled on its way, asyncio would kill the process alone and leave its group.
            cancelled = await _whole(starting)
            process = starting.result()
        except OSError as error:
            raise GitError(arguments[0], None, f"could not be started: {error}") from error
        finally:
            out.close_write_end()
            errors.close_write_end()
        reaper.own(process.pid)
        if cancelled is not None:
            await _end(process)
            raise cancelled
        return process

    def _last_line(self, stderr: str, code: int) -> str:
        lines = [line.strip() for line in re.split(r"[\r\n]+", stderr) if line.strip()]
        told = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))]
        # The reason stands before this one, and what follows is advice.
        reasons = [line for line in told if "Could not read from remote repository" not in line]
        last = (reasons or told or lines or [f"ended with code {code}"])[-1]
        return self._redactor.text(last)[:500]


class _Lines:
    """Cuts stderr into lines as it comes, also those that end in a carriage return."""

    cut = False

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._kept = bytearray()
        self._rest = b""

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")

    def feed(self, data: bytes) -> None:
        self._kept += data
        del self._kept[:-_ERROR_BYTES]
        if self._on_line is None:
            return
        *lines, rest = re.split(rb"[\r\n]", self._rest + data)
        self._rest = rest[-_ERROR_BYTES:]
        for line in lines:
            if line.strip():
                self._on_line(line.decode("utf-8", "replace").strip())


class _Pipe:
    """A pipe of ours: asyncio's own would keep `wait` until every stray holder has closed it."""

    def __init__(
        self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport, write_end: int
    ) -> None:
        self.reader = reader
        self.write_end = write_end
        self._transport = transport

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[_Pipe]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        read_end, write_end = os.pipe()
        file = os.fdopen(read_end, "rb", 0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        pipe = cls(reader, transport, write_end)
        try:
            yield pipe
        finally:
            pipe.close_write_end()
            transport.close()

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1


class _Output:
    """Keeps stdout as far as it was asked for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.kept = bytearray()
        self.cut = False

    def feed(self, data: bytes) -> None:
        self.kept += data
        self.cut = len(self.kept) > self._limit
        del self.kept[self._limit :]


async def _follow(
    process: asyncio.subprocess.Process, out: tuple[_Pipe, _Output], errors: tuple[_Pipe, _Lines]
) -> None:
    """Reads both pipes until the process has ended, or has said too much."""
    output = asyncio.ensure_future(_drain(*out))
    readers = [output, asyncio.ensure_future(_drain(*errors))]
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait([ended, output], return_when=asyncio.FIRST_COMPLETED)
        if not out[1].cut:
            await ended
            # A helper that stayed behind with our pipe in hand must not keep us.
            await asyncio.wait(readers, timeout=_TERMINATE_SECONDS)
    finally:
        for task in (*readers, ended):
            task.cancel()


async def _drain(pipe: _Pipe, into: _Output | _Lines) -> None:
    while data := await pipe.reader.read(65536):
        into.feed(data)
        if into.cut:
            return


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the process group if the process still runs: asked first, so that git removes its locks.

    Cancelled or not, it returns only when the process is gone.
    """
    cancelled = None
    if process.returncode is None:
        ending = asyncio.ensure_future(_terminate(process))
        cancelled = await _whole(ending)
        ending.result()
    reaper.disown(process.pid)
    if cancelled is not None:
        raise cancelled


async def _whole(work: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Waits until it is done, whoever cancels us; returns the last who did."""
    cancelled = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def _terminate(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _TERMINATE_SECONDS)
            break
    # What is left of the group, such as a helper that ignored the first signal.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
