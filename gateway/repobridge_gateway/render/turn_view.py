"""One turn as its events have told it so far: what every message about it is rendered from.

Feeding is idempotent: an event that came before, or an older one, changes nothing, so that a log
may be read again from anywhere. What it keeps is bounded: of many tools the oldest are only
counted, of a text beyond 4 million characters the beginning is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from repobridge.session import events as ev
from repobridge_gateway.render.timeline import SUBAGENTS, Earlier, Tool, ToolState

MOST_TOOLS = 300
MOST_TEXT = 4_000_000
MOST_NOTICES = 20
_STATES = {
    ev.ToolOutcome.OK: ToolState.OK,
    ev.ToolOutcome.FAILED: ToolState.FAILED,
    ev.ToolOutcome.DENIED: ToolState.DENIED,
    ev.ToolOutcome.CANCELLED: ToolState.CANCELLED,
}
Request = ev.ApprovalRequested | ev.QuestionAsked


@dataclass(slots=True)
class Block:
    """A block of the agent's text."""

    after_tools: int
    """How many tools had been called before it."""
    chunks: list[str] = field(default_factory=list)
    next_index: int = 0
    length: int = 0

    @property
    def text(self) -> str:
        """What stands in it so far."""
        return "".join(self.chunks)


@dataclass(slots=True)
class TurnView:
    """A turn that grows with `feed`; everything else only reads it."""

    turn_id: str
    opened: ev.TurnOpened | None = None
    opened_at: float | None = None
    is_resumed: bool = False
    tools: dict[str, Tool] = field(default_factory=dict)
    earlier_tools: Earlier = field(default_factory=Earlier)
    tools_called: int = 0
    blocks: dict[str, Block] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """The last words of each sub-agent, by the call of it."""
    is_text_cut: bool = False
    requests: dict[str, Request] = field(default_factory=dict)
    """Those that wait, the oldest first."""
    waiting_since: float | None = None
    usage: ev.UsageUpdated | None = None
    notices: list[ev.Notice] = field(default_factory=list)
    files: list[ev.FileProduced] = field(default_factory=list)
    ended: ev.TurnEnded | None = None
    ended_at: float | None = None
    cursor: ev.Cursor = field(default_factory=ev.Cursor)

    def feed(self, event: ev.Event) -> bool:
        """Takes in an event; False where it is not this turn's, or known already."""
        if event.turn_id != self.turn_id:
            return False
        # What is told to a follower who came late has the sequence 0.
        if event.sequence:
            if event.log_id == self.cursor.log_id and event.sequence <= self.cursor.sequence:
                return False
            self.cursor = ev.Cursor(event.log_id, event.sequence)
        elif self.opened is not None:
            return False
        self._take(event)
        return True

    def feed_all(self, events: Iterable[ev.Event]) -> TurnView:
        """Takes in several; the view itself."""
        for event in events:
            self.feed(event)
        return self

    @property
    def text(self) -> str:
        """Everything that the agent itself said."""
        return _joined(self.blocks.values())

    @property
    def last_text(self) -> str:
        """What it said since it last called a tool."""
        return _joined(b for b in self.blocks.values() if b.after_tools == self.tools_called)

    def text_before(self, final: str) -> str:
        """What it said before a final text, which may stand in the last blocks too."""
        blocks = list(self.blocks.values())
        left = _squeezed(final)
        while blocks:
            last = _squeezed(blocks[-1].text)
            if last and not left.endswith(last):
                break
            left = left.removesuffix(last)
            blocks.pop()
        return _joined(blocks)

    def end_of_text(self, length: int) -> str:
        """The last blocks, as many as it takes for so many characters."""
        chosen: list[Block] = []
        for block in reversed(self.blocks.values()):
            chosen.append(block)
            length -= block.length
            if length <= 0:
                break
        return _joined(reversed(chosen))

    def seconds(self, now: float) -> float:
        """How long it has run, or ran."""
        if self.opened_at is None:
            return 0.0
        return max(0.0, (self.ended_at if self.ended_at is not None else now) - self.opened_at)

    @property
    def model(self) -> str:
        """The model that answers, as far as it is known."""
        if self.usage is not None and self.usage.model:
            return self.usage.model
        return self.opened.model if self.opened is not None else ""

    def _take(self, event: ev.Event) -> None:
        match event.body:
            case ev.TurnOpened() as opened:
                self._open(opened, event.at)
            case ev.TextDelta() as delta:
                self._say(delta)
            case ev.ToolStarted() as started:
                self._start(started, event.at)
            case ev.ToolEnded() as ended:
                self._finish(ended, event.at)
            case (ev.ApprovalRequested() | ev.QuestionAsked()) as request:
                self.requests[request.request_id] = request
                self.waiting_since = self.waiting_since or event.at
            case ev.RequestResolved(request_id=request_id):
                self.requests.pop(request_id, None)
                self.waiting_since = self.waiting_since if self.requests else None
            case ev.UsageUpdated() as usage:
                self.usage = usage
            case ev.Notice() as notice:
                self.notices = [*self.notices, notice][-MOST_NOTICES:]
            case ev.FileProduced() as file:
                self.files.append(file)
            case ev.TurnEnded() as ended_turn:
                self._end(ended_turn, event.at)

    def _open(self, opened: ev.TurnOpened, at: float) -> None:
        if opened.origin is ev.TurnOrigin.RESUME:
            self.is_resumed = True
            if self.opened is not None:
                return
        self.opened, self.opened_at = opened, at

    def _say(self, delta: ev.TextDelta) -> None:
        if delta.parent_tool_use_id:
            self._overhear(delta)
            return
        block = self.blocks.setdefault(delta.block_id, Block(self.tools_called))
        if delta.index < block.next_index:
            return
        block.next_index = delta.index + 1
        block.chunks.append(delta.markdown)
        block.length += len(delta.markdown)
        if len(block.chunks) > 500:
            block.chunks = [block.text]
        self._bound_text()

    def _overhear(self, delta: ev.TextDelta) -> None:
        """What a sub-agent says, of which the last line is kept while it runs."""
        running = [tool.tool_use_id for tool in self.tools.values() if _is_working(tool)]
        agent = delta.parent_tool_use_id
        if agent not in running:
            # Some versions name the sub-agent itself instead of the call that began it.
            if len(running) != 1:
                return
            agent = running[0]
        before = "" if delta.index == 0 else self.words.get(agent, "")
        self.words[agent] = (before + delta.markdown).rstrip().rpartition("\n")[2][-500:]

    def _bound_text(self) -> None:
        total = sum(block.length for block in self.blocks.values())
        while total > MOST_TEXT:
            self.is_text_cut = True
            first = next(iter(self.blocks))
            oldest = self.blocks[first]
            total -= oldest.length
            if len(self.blocks) > 1:
                del self.blocks[first]
            else:
                kept = oldest.text[-MOST_TEXT // 2 :]
                oldest.chunks, oldest.length = [kept], len(kept)
                return

    def _start(self, started: ev.ToolStarted, at: float) -> None:
        # The agent waits for its sub-agent: what is called meanwhile is the sub-agent's. Calls that
        # the agent makes beside it are taken for that too; only the indentation tells of it.
        is_within = started.name not in SUBAGENTS and any(map(_is_working, self.tools.values()))
        self.tools_called += not is_within
        self.tools[started.tool_use_id] = Tool(
            tool_use_id=started.tool_use_id,
            name=started.name,
            title=started.title,
            started_at=at,
            depth=1 if is_within else 0,
            background=started.background,
        )
        if len(self.tools) > MOST_TOOLS:
            self._bound_tools()

    def _bound_tools(self) -> None:
        over = [tool for tool in self.tools.values() if tool.state is not ToolState.RUNNING]
        oldest = over[: MOST_TOOLS // 2] or list(self.tools.values())[: MOST_TOOLS // 2]
        self.earlier_tools = self.earlier_tools.plus(oldest)
        for tool in oldest:
            del self.tools[tool.tool_use_id]

    def _finish(self, ended: ev.ToolEnded, at: float) -> None:
        tool = self.tools.get(ended.tool_use_id)
        self.words.pop(ended.tool_use_id, None)
        if tool is None:
            return
        seconds = ended.duration_ms / 1000 if ended.duration_ms else max(0.0, at - tool.started_at)
        state = _STATES.get(ended.outcome, ToolState.OK)
        # Time that passed while people thought is not the tool's.
        seconds = 0.0 if state is ToolState.DENIED else seconds
        self.tools[ended.tool_use_id] = replace(
            tool, state=state, seconds=seconds, summary=ended.summary
        )

    def _end(self, ended: ev.TurnEnded, at: float) -> None:
        self.ended, self.ended_at = ended, at
        self.requests.clear()
        self.waiting_since = None
        for tool in self.tools.values():
            if tool.state is ToolState.RUNNING and not tool.background:
                self.tools[tool.tool_use_id] = replace(
                    tool, state=ToolState.CANCELLED, seconds=max(0.0, at - tool.started_at)
                )


def _is_working(tool: Tool) -> bool:
    """True of a sub-agent for which the agent waits."""
    return tool.name in SUBAGENTS and tool.state is ToolState.RUNNING and not tool.background


def _joined(blocks: Iterable[Block]) -> str:
    texts = (block.text.strip("\n") for block in blocks)
    return "\n\n".join(text for text in texts if text.strip())


def _squeezed(text: str) -> str:
    return "".join(text.split())
