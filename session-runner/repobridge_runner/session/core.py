"""What a session is at a moment, and the one way in which it tells of its changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from repobridge.session.events import Body, Event, Phase, SessionChanged, SessionState, UsageUpdated
from repobridge_runner import store
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.journal import Transaction
from repobridge_runner.requests import Listener, Requests
from repobridge_runner.session.mail import Mailbox
from repobridge_runner.session.surroundings import Surroundings
from repobridge_runner.store import MessageRow, SessionRow
from repobridge_runner.turn import Turn

_REMEMBERED = 100


@dataclass(slots=True)
class Pasting:
    """A prompt on its way into the agent."""

    message: MessageRow
    hooks_before: int
    looked_at: bool = False
    entered_again: bool = False


@dataclass(frozen=True, slots=True)
class CostDue:
    """A turn that ended and whose cost is not told yet."""

    turn_id: str
    usage: UsageUpdated
    until: float


class Core:
    """The state of one session, changed by its worker alone."""

    def __init__(self, row: SessionRow, around: Surroundings, *, listener: Listener) -> None:
        self.row = row
        self.around = around
        self.mailbox = Mailbox()
        self.requests = Requests(around.journal, listener=listener)
        self.state = SessionState.EXITED
        self.agent: ClaudeAgent | None = None
        self.turn: Turn | None = None
        self.pasting: Pasting | None = None
        self.queued = 0
        self.hooks = 0
        self.background_tasks = 0
        self.session_crons = 0
        self.typed_at = 0.0
        self.has_draft = False
        self.is_wanted = False
        self.is_stale = False
        self.is_stopping = False
        self.interrupted_at = 0.0
        self.dismissed: frozenset[str] = frozenset()
        """The requests that waited when somebody last pressed ESC in the terminal."""
        self.watch_until = 0.0
        self.failed_starts = 0
        self.exits_in_paste = 0
        self.cost_of: CostDue | None = None
        self.last_activity = row.last_activity
        self.last_turn = row.last_activity
        self._ended_prompts: list[str] = []
        self._ended_blocks: list[str] = []

    @property
    def conversation_id(self) -> str:
        """The client's name for this line of talk."""
        return self.row.conversation_id

    @property
    def model(self) -> str:
        """The model that it runs; empty: the agent's default."""
        return self.row.model or self.around.settings.agent.model

    @property
    def mode(self) -> str:
        """Its permission mode."""
        return self.row.permission_mode or self.around.settings.agent.permission_mode

    def has_ended(self, prompt_id: str) -> bool:
        """Whether a report belongs to a turn that ended."""
        return prompt_id in self._ended_prompts

    def has_ended_block(self, block_id: str) -> bool:
        """Whether a piece of text belongs to a turn that ended: its prompt id may be the next's."""
        return block_id in self._ended_blocks

    def forget(self, turn: Turn) -> None:
        """Takes an ended turn out of the way; what still comes of it is ignored."""
        turn.closed.set()
        self.turn = None
        ended = turn.prompt_ids - {""}  # a turn that goes on after a crash has no prompt id
        self._ended_prompts = [*self._ended_prompts, *ended][-_REMEMBERED:]
        self._ended_blocks = [*self._ended_blocks, *turn.block_ids][-_REMEMBERED:]

    def next_generation(self) -> None:
        """Another session of the same conversation, which remembers nothing."""
        generation = self.row.generation + 1
        session_id = self.around.session_id(self.conversation_id, generation)
        self.row = replace(
            self.row, generation=generation, session_id=session_id, last_activity=0.0, usage={}
        )

    def event(self, body: Body) -> Event:
        """An event of this session, in the open turn."""
        return Event(
            body=body,
            conversation_id=self.conversation_id,
            session_id=self.row.session_id,
            generation=self.row.generation,
            turn_id=self.turn.turn_id if self.turn else "",
        )

    def save(self, transaction: Transaction, events: Iterable[Event] = ()) -> None:
        """Writes the session's row, and events with it."""
        for event in events:
            transaction.append(event)
        store.put_session(transaction, self.row)

    async def emit(self, *bodies: Body) -> None:
        """Logs events and the session's row in one commit."""
        if bodies:
            events = [self.event(body) for body in bodies]
            await self.around.journal.write(lambda transaction: self.save(transaction, events))

    async def emit_of(self, turn_id: str, body: Body) -> None:
        """Logs an event of a turn that has ended."""
        event = replace(self.event(body), turn_id=turn_id)
        await self.around.journal.write(lambda transaction: self.save(transaction, [event]))

    def to(self, state: SessionState) -> None:
        """Changes the state without telling it."""
        self.state = state
        self.row = replace(self.row, state=state)

    async def enter(
        self,
        state: SessionState,
        *,
        phase: Phase | None = None,
        reason: str = "",
        detail: str = "",
        resumed: bool = False,
    ) -> None:
        """Changes the state and tells it."""
        self.to(state)
        await self.emit(
            SessionChanged(
                state=state,
                phase=phase,
                reason=reason,
                detail=detail,
                agent_version=self.around.agent_version,
                model=self.model,
                permission_mode=self.mode,
                resumed=resumed,
            )
        )
