"""How a bridge and its sessions stand, as text: what `/status` and `/sessions` answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repobridge.session.events import MAIN_CONVERSATION, SessionState
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus
from repobridge_gateway.lines import one_line
from repobridge_gateway.render import wording
from repobridge_gateway.render.inline import code, escaped, inert
from repobridge_gateway.render.measure import shortened
from repobridge_gateway.session_values import SessionInfo, Sessions

MOST_SESSIONS = 20
_REASON_UNITS = 300
_STATES: dict[SessionState | None, str] = {
    SessionState.STARTING: "starting",
    SessionState.READY: "ready",
    SessionState.BUSY: "working",
    SessionState.WAITING: "waiting for an answer",
    SessionState.STOPPING: "stopping",
    SessionState.EXITED: "resting; the next message resumes it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a bridge and of one of its sessions."""

    name: str
    status: BridgeStatus
    waiting: int = 0
    """Messages that its runner does not have yet."""
    sessions: Sessions | None = None
    """None: it is not awake."""
    conversation: str = MAIN_CONVERSATION
    idle_seconds: float | None = None
    """After how long without a turn it sleeps."""
    last_activity: float | None = None
    problems: Sequence[str] = ()


def standing_text(standing: Standing, *, now: float) -> str:
    """The answer to /status."""
    session = standing.sessions.of(standing.conversation) if standing.sessions is not None else None
    lines = [f"**{escaped(standing.name)}** {_head(standing, session, now)}"]
    if session is not None:
        lines += _facts(session)
    lines += _queue(standing, session)
    lines += _idle(standing, session, now)
    version = standing.sessions.runner.agent_version if standing.sessions is not None else ""
    lines += [f"-# Claude CLI {inert(version)}"] if version else []
    lines += [
        f"{wording.NOTICED} {inert(shortened(each, _REASON_UNITS))}" for each in standing.problems
    ]
    return "\n".join(lines)


def sessions_text(sessions: Sessions, *, channel_id: str, now: float) -> str:
    """The answer to /sessions of a bridge that is awake."""
    if not sessions.sessions:
        return "There are no sessions yet; the next message begins one."
    lines = [
        f"- {place_of(each.conversation_id, channel_id)}: {_state(each, now)}"
        + "".join(f" · {fact}" for fact in [*_model(each), *_waits(each)])
        for each in sessions.sessions[:MOST_SESSIONS]
    ]
    more = len(sessions.sessions) - MOST_SESSIONS
    return "\n".join([*lines, f"-# … and {more} more"] if more > 0 else lines)


def place_of(conversation: str, channel_id: str) -> str:
    """Where a conversation is, for people."""
    if conversation == MAIN_CONVERSATION:
        return f"<#{channel_id}>"
    return f"<#{conversation}>" if conversation.isdigit() else escaped(conversation)


def _head(standing: Standing, session: SessionInfo | None, now: float) -> str:
    status = standing.status
    if status.phase is BridgePhase.FAILED:
        return f"can't start: {inert(shortened(status.reason, _REASON_UNITS))}"
    if standing.sessions is None:
        step = f": {status.step.value}" if status.step is not None else ""
        return {
            BridgePhase.WAKING: f"is waking up{step}",
            BridgePhase.DRAINING: "is going to sleep",
        }.get(status.phase, "is asleep; the next message wakes it")
    if session is None:
        return "is awake; nothing has been asked here yet"
    return f"is {_state(session, now)}"


def _state(session: SessionInfo, now: float) -> str:
    state = _STATES.get(session.state, "running")
    if session.turn_id and session.turn_started_at:
        return f"{state}, for {wording.elapsed(round(now - session.turn_started_at))}"
    return state


def _facts(session: SessionInfo) -> list[str]:
    facts = [*_model(session), *wording.usage_facts(session.usage)]
    facts += [f"branch {code(one_line(session.branch))}"] if session.branch else []
    is_usual = session.permission_mode in {"", "default"}
    facts += [] if is_usual else [f"mode {inert(session.permission_mode)}"]
    return [" · ".join(facts)] if facts else []


def _model(session: SessionInfo) -> list[str]:
    model = session.model or (session.usage.model if session.usage is not None else "")
    return [inert(model)] if model else []


def _waits(session: SessionInfo) -> list[str]:
    waits: list[str] = []
    if session.queued:
        waits.append(f"{wording.count(session.queued, 'message')} queued")
    if session.open_requests:
        waits.append(f"{wording.count(len(session.open_requests), 'request')} to answer")
    if session.attached:
        waits.append(f"{wording.count(session.attached, 'terminal')} attached")
    return waits


def _queue(standing: Standing, session: SessionInfo | None) -> list[str]:
    waits = _waits(session) if session is not None else []
    if standing.waiting:
        waits.append(f"{wording.count(standing.waiting, 'message')} on the way")
    return [" · ".join(waits)] if waits else []


def _idle(standing: Standing, session: SessionInfo | None, now: float) -> list[str]:
    is_working = session is not None and bool(session.turn_id)
    if standing.sessions is None or standing.last_activity is None or is_working:
        return []
    idle = max(0.0, now - standing.last_activity)
    line = f"Idle for {wording.elapsed(round(idle))}"
    if standing.idle_seconds is None:
        return [line]
    left = round(max(0.0, standing.idle_seconds - idle))
    return [f"{line}, sleeps in {wording.elapsed(left)} if nothing happens"]
