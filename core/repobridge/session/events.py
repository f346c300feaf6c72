"""The session protocol's vocabulary as plain values: what crosses modules instead of protobuf.

Field for field the messages of v1/session.proto, where each is documented; `codec` converts, and a
test proves that both agree. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

MAIN_CONVERSATION = "main"
"""The conversation that runs in the checkout itself."""


class MessageKind(Enum):
    """What a submitted message is to the agent."""

    TEXT = 1
    AGENT_COMMAND = 2
    NOTE = 3


class MessageState(Enum):
    """Where a message stands on its way into the agent."""

    QUEUED = 1
    PASTING = 2
    OPEN = 3
    ENDED = 4
    WITHDRAWN = 5
    REJECTED = 6


class SessionState(Enum):
    """What a session's agent process does."""

    STARTING = 1
    READY = 2
    BUSY = 3
    WAITING = 4
    STOPPING = 5
    EXITED = 6


class RunnerState(Enum):
    """What the runner as a whole does."""

    PREPARING = 1
    SERVING = 2
    DRAINING = 3


class Phase(Enum):
    """Which step of coming up is under way."""

    CLONING = 1
    FETCHING = 2
    WORKTREE = 3
    STARTING = 4
    RESUMING = 5


class TurnOrigin(Enum):
    """What opened a turn."""

    MESSAGE = 1
    TERMINAL = 2
    CRON = 3
    BACKGROUND = 4
    RESUME = 5
    REGENERATE = 6


class ToolOutcome(Enum):
    """How a tool call ended."""

    OK = 1
    FAILED = 2
    DENIED = 3
    CANCELLED = 4


class RequestKind(Enum):
    """What a person is asked to approve."""

    TOOL = 1
    PLAN = 2


class Verdict(Enum):
    """A person's answer to a request."""

    ALLOW = 1
    DENY = 2
    ANSWER = 3


class Scope(Enum):
    """How far an approval reaches."""

    ONCE = 1
    SESSION = 2
    ALWAYS = 3


class RequestOutcome(Enum):
    """How a request ended."""

    ALLOWED = 1
    DENIED = 2
    ANSWERED = 3
    EXPIRED = 4
    CANCELLED = 5


class Via(Enum):
    """Where a request was decided."""

    CHAT = 1
    TERMINAL = 2
    POLICY = 3


class TurnOutcome(Enum):
    """How a turn ended."""

    COMPLETED = 1
    INTERRUPTED = 2
    FAILED = 3
    LOST = 4
    OUT_OF_MEMORY = 5
    BUDGET = 6


class InterruptCause(Enum):
    """Why a turn is interrupted."""

    USER = 1
    BUDGET = 2
    DRAIN = 3


class BusyReason(Enum):
    """Why a runner is not idle."""

    TURN_OPEN = 1
    MESSAGES_QUEUED = 2
    EVENTS_UNACKED = 3
    REQUEST_WAITS = 4
    BACKGROUND_TASKS = 5
    CRONS = 6
    TERMINAL_INPUT = 7
    STARTING = 8


class Severity(Enum):
    """How loud a notice is."""

    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as the client vouches for it."""

    id: str = ""
    display_name: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a log; sequence 0 is before its first event."""

    log_id: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """What became of a submitted message so far."""

    message_id: str
    state: MessageState
    position: int = 0
    session_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A session, or with an empty session id the workspace, reached a state."""

    state: SessionState | None = None
    phase: Phase | None = None
    reason: str = ""
    detail: str = ""
    agent_version: str = ""
    model: str = ""
    permission_mode: str = ""
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A message reached a state, or another place in the queue."""

    message_id: str
    state: MessageState
    position: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TurnOpened:
    """A turn began."""

    origin: TurnOrigin
    message_id: str = ""
    actor: Actor | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Markdown that is appended to a block of the agent's text."""

    block_id: str
    index: int = 0
    markdown: str = ""
    final: bool = False
    parent_tool_use_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call began."""

    tool_use_id: str
    name: str
    title: str = ""
    input_json: str = ""
    input_blob_id: str = ""
    background: bool = False


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool call ended."""

    tool_use_id: str
    outcome: ToolOutcome
    duration_ms: int = 0
    summary: str = ""
    output_blob_id: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A wider permission that may be granted with an approval."""

    id: str
    label: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """The agent waits for a person to allow a tool call or a plan."""

    request_id: str
    kind: RequestKind
    tool_name: str
    input_json: str = ""
    input_blob_id: str = ""
    input_sha256: str = ""
    suggestions: tuple[Suggestion, ...] = ()
    expires_at: float | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class QuestionOption:
    """One answer that a question offers."""

    label: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the agent."""

    id: str
    header: str = ""
    text: str = ""
    multi: bool = False
    options: tuple[QuestionOption, ...] = ()
    allow_other: bool = False


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The agent waits for answers."""

    request_id: str
    questions: tuple[Question, ...] = ()
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class RequestResolved:
    """An approval or a question is over."""

    request_id: str
    outcome: RequestOutcome
    via: Via
    by: Actor | None = None
    scope: Scope | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FileProduced:
    """The session put a file out."""

    blob_id: str
    name: str
    media_type: str = ""
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class WorkspaceChanged:
    """The working tree stands elsewhere than before."""

    branch: str = ""
    head: str = ""
    dirty: bool = False
    ahead: int = 0
    behind: int = 0


@dataclass(frozen=True, slots=True)
class UsageUpdated:
    """Tokens and cost, cumulative in the turn."""

    model: str = ""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_micro_usd: int = 0
    context_used: int = 0
    context_window: int = 0


@dataclass(frozen=True, slots=True)
class TurnError:
    """Why a turn failed."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn is over; each has exactly one."""

    outcome: TurnOutcome
    error: TurnError | None = None
    final_markdown: str = ""
    final_blob_id: str = ""
    background_tasks: int = 0
    session_crons: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people should know, outside the agent's own words."""

    severity: Severity
    code: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TerminalChanged:
    """Somebody attached to the live terminal, or left it."""

    attached: int = 0
    by: Actor | None = None
    read_only: bool = False
    joined: bool = False


Body = (
    SessionChanged
    | MessageChanged
    | TurnOpened
    | TextDelta
    | ToolStarted
    | ToolEnded
    | ApprovalRequested
    | QuestionAsked
    | RequestResolved
    | FileProduced
    | WorkspaceChanged
    | UsageUpdated
    | TurnEnded
    | Notice
    | TerminalChanged
)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a log: the envelope, and in `body` what happened."""

    body: Body
    conversation_id: str = ""
    session_id: str = ""
    generation: int = 0
    turn_id: str = ""
    log_id: str = ""
    sequence: int = 0
    at: float = 0.0
