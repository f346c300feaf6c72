"""What a person's text is: a command to us, a command to the agent, or words for the agent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum

from repobridge import durations
from repobridge.session.events import MessageKind, SessionState
from repobridge_gateway.session_values import SessionInfo, Sessions

AGENT_PREFIX = "::"

HELP = """\
Commands:
  /help       Show this help
  /status     Show the session's state, queue and usage
  /cancel     Interrupt the running turn
  /restart    Restart the session; it remembers the conversation
  /clear      Begin an empty session
  /list-repos List all configured repos
  ::name      Run the agent's own command, e.g. ::compact, ::review, ::model opus

Anything else goes to the agent, as it stands."""


class Command(Enum):
    """What a person may ask of us."""

    HELP = "help"
    STATUS = "status"
    CANCEL = "cancel"
    RESTART = "restart"
    CLEAR = "clear"
    LIST_REPOS = "list-repos"


_ELSEWHERE = {
    "clone": "Repos are named in the configuration file; add the checkout there.",
    "remove-repo": "Repos are named in the configuration file; remove it there.",
    "worktrees": "Worktrees are named in the configuration file, under their repo.",
    "add-worktree": "Worktrees are named in the configuration file; add it there.",
    "select": "Each channel has one repo; /select works on the serving terminal only.",
}
"""llm-bridge's other commands: known words that must not reach the agent by accident."""


@dataclass(frozen=True, slots=True)
class ToAgent:
    """A message for the agent."""

    kind: MessageKind
    text: str


@dataclass(frozen=True, slots=True)
class ToGateway:
    """A command for the gateway."""

    command: Command


@dataclass(frozen=True, slots=True)
class Reply:
    """Something that is answered at once."""

    text: str


def parse(text: str) -> ToAgent | ToGateway | Reply:
    """What a message is; a slash that we do not know belongs to the text."""
    stripped = text.strip()
    if stripped.startswith(AGENT_PREFIX) and len(stripped) > 2 and not stripped[2].isspace():
        return ToAgent(MessageKind.AGENT_COMMAND, "/" + stripped[2:])
    if stripped.startswith("/"):
        word = stripped[1:].split(maxsplit=1)[:1]
        name = word[0].lower() if word else ""
        if name in {command.value for command in Command}:
            return ToGateway(Command(name))
        if name in _ELSEWHERE:
            return Reply(_ELSEWHERE[name])
    return ToAgent(MessageKind.TEXT, text)


def status_text(
    *, name: str, llm: str, sessions: Sessions, conversation_id: str, now: float | None = None
) -> str:
    """The answer to /status for an awake bridge."""
    session = sessions.of(conversation_id)
    version = f" {sessions.runner.agent_version}" if sessions.runner.agent_version else ""
    if session is None:
        return f"LLM: {llm}{version} ready (repo: {name}); nothing has been asked yet"
    facts = [f"repo: {name}"]
    facts += [f"branch: {session.branch}"] if session.branch else []
    facts += [f"model: {session.model}"] if session.model else []
    facts += _times(session, time.time() if now is None else now)
    facts += [f"queued: {session.queued}"] if session.queued else []
    waiting = len(session.open_requests)
    facts += [f"waiting for an answer: {waiting}"] if waiting else []
    facts += [f"attached terminals: {session.attached}"] if session.attached else []
    first = f"LLM: {llm}{version} {_STATES.get(session.state, 'running')} ({', '.join(facts)})"
    return "\n".join([first, *_usage(session)])


_STATES: dict[SessionState | None, str] = {
    SessionState.STARTING: "starting",
    SessionState.READY: "running",
    SessionState.BUSY: "working",
    SessionState.WAITING: "waiting for an answer",
    SessionState.STOPPING: "stopping",
    SessionState.EXITED: "asleep",
}


def _times(session: SessionInfo, now: float) -> list[str]:
    if session.turn_id and session.turn_started_at:
        return [f"this turn: {_whole(now - session.turn_started_at)}"]
    if session.last_activity:
        return [f"idle: {_whole(now - session.last_activity)}"]
    return []


def _whole(seconds: float) -> str:
    return durations.text(max(0, round(seconds)) * durations.SECOND)


def _usage(session: SessionInfo) -> list[str]:
    usage = session.usage
    if usage is None or not (usage.input or usage.output):
        return []
    line = f"Usage: {usage.input:,} tokens in, {usage.output:,} out"
    if usage.cache_read or usage.cache_write:
        line += f", cache {usage.cache_read:,} read, {usage.cache_write:,} written"
    if usage.cost_micro_usd:
        line += f", ${usage.cost_micro_usd / 1e6:.4f}"
    if usage.context_window:
        line += f"; context {usage.context_used / usage.context_window:.0%} full"
    return [line]
