"""Reads a runner's log as long as it runs: for what is open there, and for our own log."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path

from repobridge.errors import Refusal
from repobridge.session.events import (
    Event,
    MessageChanged,
    SessionChanged,
    SessionState,
    TurnEnded,
    TurnOutcome,
)
from repobridge.telemetry import Logger
from repobridge_gateway.fleet import progress as progresses
from repobridge_gateway.fleet.progress import Progress
from repobridge_gateway.fleet.settings import BridgeSpec
from repobridge_gateway.session_client import SessionClient

_SAVE_SECONDS = 5.0
_RESUBSCRIBE_SECONDS = 0.2
_REMEMBERED = 1000


class LogReader:
    """The progress in one bridge's log, kept across its sleeps."""

    def __init__(self, spec: BridgeSpec, file: Path) -> None:
        self.progress = progresses.load(file)
        """How far it is, and what is open there."""
        self._file = file
        self._saved = self.progress
        self._saved_at = 0.0
        self._spec = spec
        self._log = Logger(__name__, {"repo": spec.name})
        self._ended_messages: deque[str] = deque(maxlen=_REMEMBERED)
        self._live_sessions: set[str] = set()

    def accepted(self, message_id: str) -> None:
        """Learns that the runner holds a message, though its event may not have come yet."""
        if message_id not in self._ended_messages:
            self._advance(self.progress.submitted(message_id))

    def stopped(self) -> None:
        """Learns that the runner is gone."""
        self._live_sessions.clear()
        self._save()

    async def read(self, client: SessionClient) -> None:
        """Reads until it is cancelled."""
        while True:
            try:
                async for event in client.subscribe(self.progress.cursor):
                    self._on_event(event)
            except Refusal as refusal:
                corrected = self.progress.corrected(refusal)
                if corrected:
                    self._log.warning("reading the log elsewhere", reason=refusal.reason)
                    self._advance(corrected)
                    continue
            await asyncio.sleep(_RESUBSCRIBE_SECONDS)

    def _on_event(self, event: Event) -> None:
        self._advance(self.progress.after(event))
        log = self._log.bind(conversation=event.conversation_id, session=event.session_id)
        match event.body:
            case SessionChanged(state=SessionState.READY) as body:
                if event.session_id and event.session_id not in self._live_sessions:
                    self._live_sessions.add(event.session_id)
                    log.info(
                        "started llm session",
                        llm=self._spec.llm,
                        dir=str(self._spec.working_dir),
                        version=body.agent_version,
                        resumed=body.resumed,
                    )
            case SessionChanged(state=SessionState.EXITED, reason=reason):
                self._live_sessions.discard(event.session_id)
                log.info("llm output ended", reason=reason)
            case MessageChanged(message_id=message) if message not in self.progress.messages:
                self._ended_messages.append(message)
            case TurnEnded(outcome=TurnOutcome.COMPLETED):
                log.debug("turn ended", turn=event.turn_id, outcome="COMPLETED")
            case TurnEnded(outcome=outcome, error=error):
                log.warning(
                    "turn ended",
                    turn=event.turn_id,
                    outcome=outcome.name if outcome else "",
                    error=f"{error.code}: {error.message}" if error else "",
                )

    def _advance(self, progress: Progress) -> None:
        flipped = progress.has_work != self.progress.has_work
        self.progress = progress
        if flipped or time.monotonic() - self._saved_at > _SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        if self.progress != self._saved:
            self._saved, self._saved_at = self.progress, time.monotonic()
            try:
                progresses.save(self.progress, self._file)
            except OSError as error:
                self._log.warning("progress not kept", error=str(error))
