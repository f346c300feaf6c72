"""What a session sees of the runner around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.counts import Counts
from repobridge_runner.journal import Journal
from repobridge_runner.redact import Redactor
from repobridge_runner.settings import RunnerSettings
from repobridge_runner.store import MessageRow, SessionRow


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session works: a checkout, a worktree, or a bare directory."""

    path: Path
    branch: str


class Surroundings(Protocol):
    """What the sessions of a runner share."""

    settings: RunnerSettings
    journal: Journal
    redactor: Redactor
    clock: Callable[[], float]
    counts: Counts
    agent_version: str

    @property
    def holds_queue(self) -> bool:
        """A drain is under way: nothing new is started or pasted."""

    def new_id(self) -> str:
        """A new id for a turn or a request."""

    def keep_blob(self, text: str, name: str) -> str:
        """Keeps a text that is too long for an event; returns its blob id."""

    def new_agent(self, conversation_id: str) -> ClaudeAgent:
        """An agent that is not started yet."""

    def session_id(self, conversation_id: str, generation: int) -> str:
        """The session's id."""

    def outbox(self, conversation_id: str) -> Path:
        """Where the session puts files for people."""

    def inbox(self, conversation_id: str) -> Path:
        """Where what people attach to their messages lands."""

    def transcript(self, row: SessionRow) -> Path:
        """The agent's own record of a session."""

    async def place(self, row: SessionRow) -> Place:
        """Prepares the directory of a session; raises Refusal."""

    async def make_room(self, conversation_id: str) -> bool:
        """Whether one more agent may live now; may end an idle one."""

    async def attachment_paths(self, message: MessageRow) -> Sequence[Path]:
        """The files that came with a message."""

    def turn_ended(self, row: SessionRow) -> None:
        """A turn of the session ended; its working tree may have changed."""

    def touched(self) -> None:
        """Something happened; others may have waited for it."""
