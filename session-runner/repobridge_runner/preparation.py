"""The workspace on its way to be usable: cloned beside the calls, and again while that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from repobridge.errors import Refusal
from repobridge.session.events import Event, Phase, RunnerState, SessionChanged, SessionState
from repobridge.telemetry import Logger
from repobridge_runner.log import EventLog
from repobridge_runner.workspace import Workspace
from repobridge_runner.workspaceerror import WorkspaceError

_AGAIN_SECONDS = 1.0
_AGAIN_AT_MOST_SECONDS = 300.0
_log = Logger("repobridge.runner")

Beside = Callable[[Coroutine[None, None, None], str], None]
"""Has something done beside the calls, under a name."""


class Preparation:
    """Prepares a workspace, and knows what is in its way."""

    def __init__(
        self,
        workspace: Workspace,
        log: EventLog,
        *,
        beside: Beside,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is told each time that a try has ended, as sessions may wait for it."""
        self.state = RunnerState.PREPARING
        self.unusable: WorkspaceError | None = None
        self._workspace = workspace
        self._events = log
        self._beside = beside
        self._changed = changed
        self._tried = asyncio.Event()

    async def tried(self) -> None:
        """Returns when the workspace is there, or can't be for now."""
        await self._tried.wait()

    async def run(self) -> None:
        """Prepares the workspace, again and again while something is in the way that may go."""
        seconds = _AGAIN_SECONDS
        while not await self._try():
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, _AGAIN_AT_MOST_SECONDS)

    async def _try(self) -> bool:
        def progress(phase: Phase, detail: str) -> None:
            body = SessionChanged(SessionState.STARTING, phase, detail=detail)
            self._beside(self._tell(body), "log progress")

        try:
            prepared = await self._workspace.prepare(progress)
            if prepared.warning:
                await self._tell(SessionChanged(phase=Phase.FETCHING, detail=prepared.warning))
            self.unusable, self.state = None, RunnerState.SERVING
        except WorkspaceError as error:
            known, self.unusable = self.unusable, error
            if known is None or known.reason != error.reason:
                await self._tell_unusable(error)
        self._tried.set()
        self._changed()
        return self.unusable is None

    async def _tell_unusable(self, error: WorkspaceError) -> None:
        _log.error("workspace unusable", reason=error.reason, error=error.sentence)
        await self._tell(
            SessionChanged(SessionState.EXITED, reason=error.reason, detail=error.sentence)
        )

    async def _tell(self, body: SessionChanged) -> None:
        """Logs how the preparation goes; a full disk must not keep it from its end."""
        try:
            await self._events.append(Event(body))
        except Refusal as refusal:
            _log.warning("preparation not told", error=str(refusal))
