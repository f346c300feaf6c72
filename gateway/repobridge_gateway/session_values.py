"""What the calls of a runner take and answer, as plain values; field for field session.proto's."""

from __future__ import annotations

from dataclasses import dataclass

from repobridge.session.events import (
    Actor,
    Cursor,
    MessageKind,
    MessageStatus,
    RunnerState,
    Scope,
    SessionState,
    UsageUpdated,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message on its way to a session."""

    conversation_id: str
    message_id: str
    kind: MessageKind
    text: str
    author: Actor
    attachment_ids: tuple[str, ...] = ()
    """Of files that were brought to the runner before, for this message."""
    allowed_models: tuple[str, ...] = ()
    """The models that the author may use; empty: any."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way to a session."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A message that is durable now."""

    status: MessageStatus
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person chose for one question."""

    question_id: str
    options: tuple[str, ...] = ()
    other: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's answer to an approval or a question."""

    request_id: str
    verdict: Verdict
    scope: Scope = Scope.ONCE
    suggestion_id: str = ""
    reason: str = ""
    answers: tuple[Answer, ...] = ()
    actor: Actor | None = None
    input_sha256: str = ""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A decision that still waits."""

    request_id: str
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session, as its runner describes it."""

    conversation_id: str
    session_id: str = ""
    generation: int = 0
    state: SessionState | None = None
    model: str = ""
    permission_mode: str = ""
    working_dir: str = ""
    branch: str = ""
    queued: int = 0
    turn_id: str = ""
    turn_started_at: float | None = None
    last_activity: float | None = None
    usage: UsageUpdated | None = None
    attached: int = 0
    open_requests: tuple[OpenRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerInfo:
    """A runner, as it describes itself."""

    state: RunnerState | None = None
    version: str = ""
    agent_version: str = ""
    bridge_uid: str = ""
    repository_url: str = ""
    started_at: float | None = None
    log_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Everything that runs in a runner."""

    sessions: tuple[SessionInfo, ...]
    runner: RunnerInfo

    def of(self, conversation_id: str) -> SessionInfo | None:
        """The session of a conversation, where it has one."""
        return next((s for s in self.sessions if s.conversation_id == conversation_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """What a control call left behind."""

    session_id: str = ""
    state: SessionState | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a conversation has changed."""

    unified: str = ""
    blob_id: str = ""
    """Of the whole, where it is too long to stand in `unified`."""
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    branch: str = ""


__all__ = [
    "Answer", "Changes", "Controlled", "Cursor", "Decision", "OpenRequest", "RunnerInfo",
    "SessionInfo", "Sessions", "Submission", "Submitted", "Upload",
]  # fmt: skip
