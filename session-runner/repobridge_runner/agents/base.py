"""What a session and its agent say to each other, whatever the agent is.

An agent reports what happens as one of the values below, in order, through the handler that it
was started with; the handler's answer is the agent's to act on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from repobridge.session.events import Suggestion
from repobridge_runner.terminal import ExitStatus


@dataclass(frozen=True, slots=True)
class PromptTaken:
    """The agent took a prompt; its turn runs."""

    prompt: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class TextShown:
    """The agent wrote; `text` follows what came with the lower indexes of the same block."""

    prompt_id: str
    block_id: str
    index: int
    text: str
    final: bool
    parent_tool_use_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolBegan:
    """The agent calls a tool."""

    prompt_id: str
    tool_use_id: str
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call came back."""

    prompt_id: str
    tool_use_id: str
    name: str
    input: Mapping[str, Any]
    ok: bool
    cancelled: bool
    duration_ms: int
    output: str


@dataclass(frozen=True, slots=True)
class PermissionWanted:
    """The agent waits for a Permission."""

    prompt_id: str
    tool_name: str
    input: Mapping[str, Any]
    suggestions: Sequence[tuple[Suggestion, Mapping[str, Any]]] = ()


@dataclass(frozen=True, slots=True)
class QuestionsAsked:
    """The agent waits for Answers."""

    prompt_id: str
    tool_use_id: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TurnStopped:
    """The turn ended by itself; `text` is what was said since the last tool call."""

    prompt_id: str
    text: str
    background_tasks: int = 0
    session_crons: int = 0


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The turn ended in an error of the provider."""

    prompt_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Compacting:
    """The agent begins to shorten its history."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Compacted:
    """The agent shortened its history."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The agent recorded that its turn was interrupted."""


@dataclass(frozen=True, slots=True)
class TurnContinued:
    """The agent took up the turn that its last end cut."""


@dataclass(frozen=True, slots=True)
class CommandDone:
    """One of the agent's own commands ended, with what it printed."""

    output: str


@dataclass(frozen=True, slots=True)
class UsageSeen:
    """Tokens of one request of the agent to its provider."""

    model: str
    input: int
    output: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class AgentExited:
    """The agent's process is gone."""

    status: ExitStatus


Report = (
    PromptTaken
    | TextShown
    | ToolBegan
    | ToolFinished
    | PermissionWanted
    | QuestionsAsked
    | TurnStopped
    | TurnFailed
    | Compacting
    | Compacted
    | Interrupted
    | TurnContinued
    | CommandDone
    | UsageSeen
    | AgentExited
)


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer to PermissionWanted."""

    allow: bool
    message: str = ""
    updates: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """The answer to QuestionsAsked: by question text; None declines, with the reason."""

    answers: Mapping[str, str] | None
    reason: str = ""


Answer = Permission | Answers | None
Handler = Callable[[Report], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Start:
    """How one agent process is to come up."""

    session_id: str
    directory: Any
    model: str
    permission_mode: str
    system_prompt: str
    environment: Mapping[str, str] = field(default_factory=dict)
    rules: Sequence[Mapping[str, Any]] = ()
    resume_turn: bool = False
    """Go on with the turn that the last end cut."""
    fork_of: str = ""
    """The session id whose history is copied."""
