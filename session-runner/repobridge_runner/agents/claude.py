"""The Claude CLI in a PTY: the PTY is for people, its hooks are for meaning.

One object is one process. It reports through the handler given to `start`, one report at a time
and in order, except that a permission or a question waits for its answer beside the others.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repobridge.errors import RepoBridgeError
from repobridge_runner import inputs
from repobridge_runner.agents import claude_hooks, claude_launch
from repobridge_runner.agents.base import (
    AgentExited,
    Answers,
    Handler,
    Permission,
    PermissionWanted,
    QuestionsAsked,
    Start,
)
from repobridge_runner.agents.status import StatusReader
from repobridge_runner.agents.transcript import (
    TranscriptReader,
    holds_conversation,
    size,
    transcript_path,
    was_continued,
)
from repobridge_runner.hooks import HookServer
from repobridge_runner.oom import OomCounter
from repobridge_runner.screen import PromptWatch, last_lines, prompt_is_empty
from repobridge_runner.settings import AgentSettings
from repobridge_runner.terminal import ExitStatus, Terminal, WindowSize

_SIZE = WindowSize(columns=100, rows=40)
_QUIET_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_ECHO_SECONDS = 2.0
_SETTLE_SECONDS = 0.5
_STILL_SECONDS = 0.1
_RESTLESS_QUIET_SECONDS = 0.05


class AgentStartFailed(RepoBridgeError):
    """The agent did not come to stand at its prompt."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class ClaudeAgent:
    """One process of the Claude CLI."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        hooks: HookServer,
        config_directory: Path,
        closed_directories: Sequence[Path],
        own_environment: Mapping[str, str],
        held_seconds: int,
        clock: Callable[[], float],
        oom: OomCounter,
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._config_directory = config_directory
        self._closed_directories = closed_directories
        self._own_environment = own_environment
        self._held_seconds = held_seconds
        self._clock = clock
        self._oom = oom
        self._watch = PromptWatch(clock=clock)
        self._reported = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.size = _SIZE
        self.terminal: Terminal
        self.transcript: TranscriptReader
        self.status = StatusReader(config_directory / claude_launch.STATUS_FILE)
        self.cost_micro_usd = 0

    async def start(self, start: Start, handler: Handler) -> None:
        """Starts the process and waits for its prompt, or for the resumed turn to go on.

        Raises AgentStartFailed, after which nothing runs, or LaunchFailed.
        """
        self._handler = handler
        self._endpoint = self._hooks.register(self._on_hook)
        try:
            await self._spawn(start)
        except BaseException:
            self._hooks.unregister(self._endpoint)
            raise
        self.terminal.observe(self._watch.feed)
        self._end = asyncio.create_task(self._report_end(), name=f"end of {start.session_id}")
        try:
            await self._until_ready(start)
        except BaseException:
            await self.stop(grace_seconds=0)
            raise

    def _paths(self, start: Start) -> Path:
        return transcript_path(self._config_directory, start.directory, start.session_id)

    async def _spawn(self, start: Start) -> None:
        path = self._paths(start)
        environment = claude_launch.make_environment(
            self._own_environment,
            agent=self._settings,
            start=start,
            config_directory=self._config_directory,
            endpoint=self._endpoint,
        )
        claude_launch.seed_configuration(
            self._config_directory, directory=start.directory, environment=environment
        )
        remembers = holds_conversation(path)
        if not remembers:
            # Left by a process that was killed before it wrote its first prompt down: there is
            # nothing to resume in it, and it keeps a new session from having its id.
            path.unlink(missing_ok=True)
        self.transcript = TranscriptReader(path, size(path))
        self.status.forget()
        arguments = claude_launch.make_arguments(
            self._settings.executable,
            start,
            endpoint=self._endpoint,
            has_transcript=remembers,
            allowed_tools=self._settings.allowed_tools,
            held_seconds=self._held_seconds,
        )
        self.terminal = await Terminal.spawn(
            arguments,
            environment=environment,
            directory=start.directory,
            size=self.size,
            closed_directories=self._closed_directories,
            oom=self._oom,
        )

    async def _until_ready(self, start: Start) -> None:
        signs = [asyncio.ensure_future(self._watch.ready(quiet_seconds=_QUIET_SECONDS))]
        if start.resume_turn:
            signs.append(asyncio.ensure_future(self._going_on()))
        try:
            done, _ = await asyncio.wait(
                {*signs, self._end},
                timeout=self._settings.start_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for sign in signs:
                sign.cancel()
        if self._end in done:
            status = await self.terminal.wait()
            raise AgentStartFailed("AgentExited", self._why(f"ended at start ({_ending(status)})"))
        if not done:
            seconds = f"{self._settings.start_seconds:g} s"
            raise AgentStartFailed(
                "AgentStartTimeout", self._why(f"did not reach its prompt within {seconds}")
            )

    async def _going_on(self) -> None:
        """Returns when the cut turn was taken up: then the screen is never quiet."""
        path, offset = self.transcript.path, self.transcript.offset
        while not self._reported.is_set() and not was_continued(  # noqa: ASYNC110 - a file
            path, offset=offset
        ):
            await asyncio.sleep(_LOOK_SECONDS)

    def _why(self, what: str) -> str:
        shown = last_lines(self.recent_output(), self.size)
        return f"{self._settings.executable} {what}. Its screen said:\n{shown}"

    def recent_output(self) -> bytes:
        """The raw output that is still at hand."""
        return self.terminal.recent()

    async def submit(self, prompt: str) -> None:
        """Pastes a canonical prompt and presses Enter; `PromptTaken` confirms it."""
        data = inputs.paste(prompt)
        is_still = self._watch.is_quiet(_STILL_SECONDS)
        await self.terminal.write_all(data)
        await self.terminal.drain()
        # Enter right behind the paste may be taken as a part of it. The CLI paints nothing of a
        # paste until it has read its end: so the first output from here on says that it has.
        self._watch.expect_output()
        await self._painted()
        if not is_still:
            # It was painting before: that output may have been of the turn that just ended.
            await self._settled()
        self.press_enter()

    async def _painted(self) -> None:
        output = asyncio.ensure_future(self._watch.output())
        try:
            await asyncio.wait(
                {output, self._end}, timeout=_ECHO_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            output.cancel()

    async def _settled(self) -> None:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._watch.quiet(_RESTLESS_QUIET_SECONDS)
        except TimeoutError:
            pass

    def press_enter(self) -> None:
        """Presses Enter."""
        self.terminal.write(inputs.ENTER)

    def interrupt(self) -> None:
        """Presses ESC: the turn ends, and no hook says so."""
        self.terminal.write(inputs.ESCAPE)

    async def clear_input(self) -> bool:
        """Presses Ctrl-C once and tells whether the input box is now proven to be empty."""
        self.terminal.write(inputs.CLEAR)
        self._watch.expect_output()
        try:
            async with asyncio.timeout(1.0):
                await self._watch.output()
                await self._watch.quiet(0.15)
        except TimeoutError:
            pass
        return prompt_is_empty(self.recent_output(), self.size)

    def resize(self, size: WindowSize) -> None:
        """Gives the terminal another size; the CLI repaints."""
        self.size = size
        self.terminal.resize(size)

    async def stop(self, *, grace_seconds: float) -> ExitStatus:
        """Ends the process and everything that it started; its end is reported no more."""
        self._handler = _ignore
        status = await self.terminal.end(grace_seconds=grace_seconds)
        self._hooks.unregister(self._endpoint)
        await asyncio.gather(self._end, return_exceptions=True)
        return status

    async def _report_end(self) -> None:
        status = await self.terminal.wait()
        self._hooks.unregister(self._endpoint)
        await self._handler(AgentExited(status))

    async def _on_hook(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        report = claude_hooks.read_hook(payload)
        if report is None:
            return {}
        self._reported.set()
        answer = await self._handler(report)
        if isinstance(report, PermissionWanted) and isinstance(answer, Permission):
            return claude_hooks.write_permission(answer)
        if isinstance(report, QuestionsAsked) and isinstance(answer, Answers):
            return claude_hooks.write_answers(report, answer)
        return {}


async def _ignore(_: object) -> None:
    return None


def resolve_executable(name: str, path: str | None) -> str | None:
    """The agent's program as an absolute path, or None."""
    return shutil.which(name, path=path)


def _ending(status: ExitStatus) -> str:
    return f"signal {status.signal}" if status.signal else f"exit code {status.code}"
