"""A session's events as lines of plain text: what a terminal shows, decided purely.

Text of the agent comes as its own Markdown, whole lines at a time; everything else is one line that
says what happened. Nothing that an agent or a person wrote can move the cursor or change a colour.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from repobridge import durations
from repobridge.session import events as ev
from repobridge_gateway.asking import approval_lines, question_lines
from repobridge_gateway.follow import Item, Live
from repobridge_gateway.lines import Line, Tone, one_line, printable
from repobridge_gateway.notices import GatewayNotice, NoticeCode
from repobridge_gateway.render import wording


@dataclass(slots=True)
class _Turn:
    opened_at: float | None = None
    """None for a turn that was open when we came."""
    usage: ev.UsageUpdated | None = None
    partial: dict[str, str] = field(default_factory=dict)
    spoken: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)


class Transcript:
    """Turns what is followed into lines; keeps only what the present turns need."""

    def __init__(self, *, is_mine: Callable[[str], bool] = lambda _: False) -> None:
        self._is_mine = is_mine
        """Whether this terminal sent a message, and so need not be told its text."""
        self._turns: dict[str, _Turn] = {}
        self._over: deque[str] = deque(maxlen=100)
        self._stray = _Turn()
        self._position: dict[str, int] = {}
        self._head = ""

    @property
    def turn_is_open(self) -> bool:
        """True while the agent works."""
        return bool(self._turns)

    def feed(self, item: Item) -> list[Line]:
        """The lines that an item adds."""
        if isinstance(item, Live):
            return []
        if isinstance(item, GatewayNotice):
            return self._notice(item)
        return self._event(item)

    def _notice(self, notice: GatewayNotice) -> list[Line]:
        if notice.code is NoticeCode.ASKED:
            if self._is_mine(notice.message_id):
                return []
            who = one_line(notice.author.display_name) if notice.author else "somebody"
            first, *rest = printable(notice.text).split("\n") or [""]
            return [Line(f"{who}: {first}", Tone.PERSON)] + [
                Line(f"  {line}", Tone.PERSON) for line in rest
            ]
        bad = {NoticeCode.WAKE_FAILED, NoticeCode.RUNNER_CRASHED}
        return [Line(printable(notice.text), Tone.ERROR if notice.code in bad else Tone.FAINT)]

    def _event(self, event: ev.Event) -> list[Line]:
        body = event.body
        lines: list[Line] = []
        match body:
            case ev.TextDelta():
                lines = self._text(self._turn(event), body)
            case ev.TurnOpened():
                self._turns[event.turn_id] = _Turn(opened_at=event.at)
                lines = [Line(_opening(body), Tone.FAINT)]
            case ev.TurnEnded():
                lines = self._ended(event, body)
            case ev.UsageUpdated():
                self._turn(event).usage = body
            case ev.ToolStarted():
                title = one_line(body.title or body.name)
                self._turn(event).tools[body.tool_use_id] = title
                how = " (in the background)" if body.background else ""
                lines = [Line(f"  → {title}{how}", Tone.TOOL)]
            case ev.ToolEnded():
                title = self._turn(event).tools.pop(body.tool_use_id, "a tool")
                lines = [_tool_ended(one_line(title, longest=60), body)]
            case ev.MessageChanged():
                lines = self._message(body)
            case _:
                lines = self._other(body)
        return lines

    def _other(self, body: ev.Body) -> list[Line]:
        lines: list[Line] = []
        match body:
            case ev.ApprovalRequested():
                lines = approval_lines(body)
            case ev.QuestionAsked() if body.questions:
                # One at a time: the next is asked when this one is answered.
                lines = question_lines(body.questions[0], of=len(body.questions))
            case ev.RequestResolved():
                lines = [_resolved(body)]
            case ev.SessionChanged():
                lines = _session(body)
            case ev.FileProduced():
                name = one_line(body.name)
                lines = [Line(f"  ⇩ {name} ({body.size:,} bytes); /save {name}", Tone.TOOL)]
            case ev.WorkspaceChanged() if body.head and body.head != self._head:
                self._head = body.head
                dirty = ", uncommitted changes" if body.dirty else ""
                lines = [Line(f"  {one_line(body.branch)} at {body.head[:8]}{dirty}", Tone.FAINT)]
            case ev.Notice():
                lines = [_agent_notice(body)]
            case ev.TerminalChanged() if body.by:
                verb = "attached to" if body.joined else "left"
                who = one_line(body.by.display_name or body.by.id)
                count = f"{body.attached} attached"
                lines = [Line(f"  {who} {verb} the live terminal ({count})", Tone.FAINT)]
        return lines

    def _turn(self, event: ev.Event) -> _Turn:
        # Words may come after their turn's end, and outside any turn: that opens none.
        if not event.turn_id or event.turn_id in self._over:
            return self._stray
        # A follower that came late has not seen the turn open.
        return self._turns.setdefault(event.turn_id, _Turn())

    def _text(self, turn: _Turn, delta: ev.TextDelta) -> list[Line]:
        text = turn.partial.pop(delta.block_id, "") + delta.markdown
        *whole, rest = text.split("\n")
        if delta.final and rest:
            whole.append(rest)
        elif rest:
            turn.partial[delta.block_id] = rest
        if delta.parent_tool_use_id:
            return [Line(f"  │ {printable(line)}", Tone.FAINT) for line in whole]
        turn.spoken += whole
        return [Line(printable(line)) for line in whole]

    def _ended(self, event: ev.Event, body: ev.TurnEnded) -> list[Line]:
        turn = self._turns.pop(event.turn_id, _Turn())
        self._over.append(event.turn_id)
        lines = [Line(printable(text)) for text in turn.partial.values()]
        spoken = "\n".join([*turn.spoken, *turn.partial.values()])
        if _squeezed(body.final_markdown) not in _squeezed(spoken):
            # Only the end of the turn carried it (a stream that fell back, say).
            lines += [Line(line) for line in printable(body.final_markdown).rstrip().split("\n")]
        elif body.final_blob_id and not spoken:
            lines.append(Line("  The answer is long; read it with /show.", Tone.FAINT))
        took = "" if turn.opened_at is None else _duration(event.at - turn.opened_at)
        return [*lines, *_closing(body, took=took, usage=turn.usage)]

    def _message(self, body: ev.MessageChanged) -> list[Line]:
        known = self._position.pop(body.message_id, 0)
        if body.state is ev.MessageState.QUEUED:
            self._position[body.message_id] = body.position
            waits = self.turn_is_open or body.position > 1
            if waits and body.position and body.position != known:
                place = "next" if body.position == 1 else f"number {body.position}"
                return [Line(f"  queued: {place} in line", Tone.FAINT)]
        if body.state is ev.MessageState.WITHDRAWN:
            return [Line("  withdrawn before it was read", Tone.FAINT)]
        if body.state is ev.MessageState.REJECTED:
            return [Line(f"  not run: {one_line(body.reason)}", Tone.ERROR)]
        return []


def _opening(body: ev.TurnOpened) -> str:
    who = one_line(body.actor.display_name or body.actor.id) if body.actor else ""
    words = {
        ev.TurnOrigin.TERMINAL: f"answering {who or 'what was typed'} in the live terminal",
        ev.TurnOrigin.CRON: "a scheduled task runs",
        ev.TurnOrigin.BACKGROUND: "a background task reports",
        ev.TurnOrigin.RESUME: f"going on with the turn of {who or 'before'}",
        ev.TurnOrigin.REGENERATE: f"answering {who} again",
    }
    text = words.get(body.origin, f"answering {who}" if who else "answering")
    return f"● {text}" + (f" · {one_line(body.model)}" if body.model else "")


def _tool_ended(title: str, body: ev.ToolEnded) -> Line:
    took = f" ({durations.text(body.duration_ms * 1_000_000)})" if body.duration_ms else ""
    if body.outcome is ev.ToolOutcome.OK:
        return Line(f"  ✓ {title}{took}", Tone.TOOL)
    words = {
        ev.ToolOutcome.FAILED: "failed",
        ev.ToolOutcome.DENIED: "denied",
        ev.ToolOutcome.CANCELLED: "cancelled",
    }
    why = f": {one_line(body.summary, longest=100)}" if body.summary else ""
    return Line(f"  ✗ {title} {words.get(body.outcome, 'ended')}{took}{why}", Tone.WARNING)


def _resolved(body: ev.RequestResolved) -> Line:
    who = one_line(body.by.display_name or body.by.id) if body.by else ""
    by = f" by {who}" if who else ""
    where = " in the live terminal" if body.via is ev.Via.TERMINAL else ""
    note = f": {one_line(body.note)}" if body.note else ""
    scope = {ev.Scope.SESSION: " for this session", ev.Scope.ALWAYS: " always"}
    match body.outcome:
        case ev.RequestOutcome.ALLOWED:
            reach = scope.get(body.scope, "") if body.scope else ""
            return Line(f"  ✓ allowed{reach}{by}{where}{note}", Tone.GOOD)
        case ev.RequestOutcome.DENIED:
            return Line(f"  ✗ denied{by}{where}{note}", Tone.WARNING)
        case ev.RequestOutcome.ANSWERED:
            return Line(f"  ✓ answered{by}{where}{note}", Tone.GOOD)
        case ev.RequestOutcome.EXPIRED:
            return Line(f"  ✗ nobody answered in time: denied{note}", Tone.WARNING)
    return Line(f"  ✗ no longer asked{note}", Tone.FAINT)


def _session(body: ev.SessionChanged) -> list[Line]:
    detail = one_line(body.detail)
    words = {
        ev.Phase.CLONING: "cloning",
        ev.Phase.FETCHING: "fetching",
        ev.Phase.WORKTREE: "making a worktree",
        ev.Phase.STARTING: "starting the agent",
        ev.Phase.RESUMING: "resuming the session",
    }
    if body.phase in words and body.state is not ev.SessionState.READY:
        return [Line(f"  {words[body.phase]} …{' ' + detail if detail else ''}", Tone.FAINT)]
    if body.state is ev.SessionState.EXITED and body.reason not in {"", "IdleTimeout", "Stopped"}:
        return [Line(f"  the agent ended: {detail or body.reason}", Tone.WARNING)]
    return []


_NOTICES = {
    "Compacted": "the conversation was compacted",
    "ProviderLimited": "the model's provider limits us until {until}",
    "AgentRestarted": "the agent was restarted; it remembers the conversation",
    "DiskLow": "the disk is nearly full",
}


def _agent_notice(body: ev.Notice) -> Line:
    params = {key: one_line(value) for key, value in body.params.items()}
    try:
        text = _NOTICES[body.code].format_map(params)
    except KeyError:
        facts = ", ".join(f"{key} {value}" for key, value in params.items())
        text = f"{one_line(body.code)}{': ' + facts if facts else ''}"
    tones = {ev.Severity.WARNING: Tone.WARNING, ev.Severity.ERROR: Tone.ERROR}
    return Line(f"  {text}", tones.get(body.severity, Tone.FAINT))


def _closing(body: ev.TurnEnded, *, took: str, usage: ev.UsageUpdated | None) -> list[Line]:
    facts = [*filter(None, [took]), *wording.usage_facts(usage)]
    facts += [f"{body.background_tasks} background tasks"] if body.background_tasks else []
    summary = "".join(f" · {fact}" for fact in facts)
    why = f": {one_line(body.error.message or body.error.code)}" if body.error else ""
    match body.outcome:
        case ev.TurnOutcome.COMPLETED:
            return [Line(f"  done{summary}", Tone.FAINT)]
        case ev.TurnOutcome.INTERRUPTED:
            return [Line(f"  interrupted{why}{summary}", Tone.WARNING)]
    words = {
        ev.TurnOutcome.FAILED: "failed",
        ev.TurnOutcome.LOST: "lost: the agent ended and could not go on; ask again",
        ev.TurnOutcome.OUT_OF_MEMORY: "ended: out of memory",
        ev.TurnOutcome.BUDGET: "ended: the budget is used up",
    }
    return [Line(f"  {words.get(body.outcome, 'ended')}{why}{summary}", Tone.ERROR)]


def _duration(seconds: float) -> str:
    return durations.text_of_seconds(max(0.0, round(seconds, 1)))


def _squeezed(text: str) -> str:
    return "".join(text.split())
