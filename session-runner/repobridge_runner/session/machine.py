"""The session's worker: one piece of mail at a time, and after each a look at the queue."""

from __future__ import annotations

from dataclasses import replace

from repobridge.errors import Refusal
from repobridge.session.events import (
    Body,
    InterruptCause,
    RequestResolved,
    SessionChanged,
    SessionState,
)
from repobridge.telemetry import Logger
from repobridge_runner.agents import base
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.requests import Pending, Requests
from repobridge_runner.session import (
    aftermath,
    asking,
    builtin,
    keys,
    pasting,
    process,
    reporting,
    turns,
    watching,
)
from repobridge_runner.session.core import Core
from repobridge_runner.session.mail import Closed, Do, Late, Look, Mail, Reported, Tick
from repobridge_runner.session.surroundings import Surroundings
from repobridge_runner.store import SessionRow
from repobridge_runner.turn import Turn

_RETRY_SECONDS = 5.0
_ON_THE_WAY = (SessionState.STARTING, SessionState.STOPPING)
_log = Logger("repobridge.session")


class Session:
    """A conversation's queue, its agent and the turn between them."""

    def __init__(self, row: SessionRow, around: Surroundings) -> None:
        self._core = Core(row, around, listener=self._request_closed)
        self.attached = 0

    # ---------------------------------------------------------- what it is

    @property
    def conversation_id(self) -> str:
        """The client's name for this line of talk."""
        return self._core.conversation_id

    @property
    def row(self) -> SessionRow:
        """What is kept of it."""
        return self._core.row

    @property
    def state(self) -> SessionState:
        """What its agent does."""
        return self._core.state

    @property
    def agent(self) -> ClaudeAgent | None:
        """The live agent."""
        return self._core.agent

    @property
    def turn(self) -> Turn | None:
        """The open turn."""
        return self._core.turn

    @property
    def requests(self) -> Requests:
        """What waits for people."""
        return self._core.requests

    @property
    def model(self) -> str:
        """The model that it runs; empty: the agent's default."""
        return self._core.model

    @property
    def mode(self) -> str:
        """Its permission mode."""
        return self._core.mode

    @property
    def queued(self) -> int:
        """How many messages wait."""
        return self._core.queued

    @property
    def background_tasks(self) -> int:
        """How many tasks the agent said to have in the background."""
        return self._core.background_tasks

    @property
    def session_crons(self) -> int:
        """How many schedules the agent said to have."""
        return self._core.session_crons

    @property
    def typed_at(self) -> float:
        """When a person last typed into its terminal."""
        return self._core.typed_at

    @property
    def last_activity(self) -> float:
        """When something last happened."""
        return self._core.last_activity

    @property
    def last_turn(self) -> float:
        """When a turn last began or ended."""
        return self._core.last_turn

    @property
    def is_live(self) -> bool:
        """An agent's process is there, comes up, or is not gone yet."""
        return self.agent is not None or self.state in _ON_THE_WAY

    @property
    def is_pasting(self) -> bool:
        """A prompt is on its way into the agent."""
        return self._core.pasting is not None

    @property
    def is_idle(self) -> bool:
        """An agent stands at its prompt and nothing waits for it."""
        return self.state is SessionState.READY and not self.is_pasting and not self.queued

    # -------------------------------------------------- what may be asked of it

    def look(self) -> None:
        """Says that the queue or the runner's mood changed; never waits."""
        self._core.mailbox.look()

    def note_queued(self) -> None:
        """A message was added to its queue."""
        self._core.queued += 1
        self._core.last_activity = self._core.around.clock()
        self.look()

    def note_typed(self, typed: bytes) -> None:
        """A person who is attached typed; comes before the keys reach the agent."""
        keys.typed(self._core, typed)

    async def tell(self, body: Body) -> None:
        """Logs an event of this session that is none of the agent's doing."""
        await self._core.emit(body)

    async def interrupt(self, cause: InterruptCause) -> bool:
        """Ends the open turn; False when there is none."""
        return await self._core.mailbox.do(lambda: self._interrupt(cause))

    async def restart(self) -> bool:
        """Ends the agent and brings the same session up again."""
        return await self._core.mailbox.do(lambda: process.restart(self._core))

    async def clear(self) -> bool:
        """Begins a new generation, which remembers nothing; the queue is kept."""
        return await self._core.mailbox.do(self._clear)

    async def stop(self, reason: str) -> bool:
        """Ends the agent; the next message resumes it."""
        return await self._core.mailbox.do(lambda: process.end_agent(self._core, reason))

    async def give_room(self) -> bool:
        """Ends the agent, unless something has come for it since it was seen idle."""
        return await self._core.mailbox.do(self._give_room)

    async def wake(self) -> bool:
        """Brings the agent up without a message, for a person who attaches."""
        return await self._core.mailbox.do(self._wake)

    async def warm(self) -> None:
        """Has the agent come up, in its turn, though nothing has come for it yet."""
        await self._core.mailbox.do(self._want)

    async def set_model(self, model: str) -> bool:
        """Changes the model; a running agent is restarted when its turn is over."""
        return await self._core.mailbox.do(lambda: self._change(model=model))

    async def set_mode(self, permission_mode: str) -> bool:
        """Changes the permission mode, likewise."""
        return await self._core.mailbox.do(lambda: self._change(permission_mode=permission_mode))

    async def recover(self) -> None:
        """Takes up what a former runner left; comes before `run`."""
        await aftermath.recover(self._core)

    async def shut_down(self, *, turn_seconds: float, grace_seconds: float) -> None:
        """Ends the agent; an open turn gets a while, and then stays open on disk."""
        await process.shut_down(self._core, turn_seconds=turn_seconds, grace_seconds=grace_seconds)

    async def run(self) -> None:
        """Works the mailbox; cancel it to end the session's work."""
        while True:
            mail = await self._core.mailbox.get()
            try:
                await self._handle(mail)
                await self._advance()
            except pasting.Withdrawn:
                self.look()
            except Refusal as refusal:
                _log.warning(
                    "session refused", conversation=self.conversation_id, error=str(refusal)
                )
                self._core.mailbox.look_in(_RETRY_SECONDS)  # a full disk may have room by then
            except Exception as error:
                _log.error("session failed", cause=error, conversation=self.conversation_id)

    # ---------------------------------------------------------- the worker

    async def _handle(self, mail: Mail) -> None:
        core = self._core
        match mail:
            case Look():
                pass
            case Tick():
                await watching.read_transcript(core)
            case Late():
                await self._not_confirmed(mail.what)
            case Closed():
                await asking.closed(core, mail)
            case Reported():
                await self._reported(mail)
            case Do():
                await _do(mail)

    async def _reported(self, mail: Reported) -> None:
        try:
            if mail.agent is self._core.agent:
                await reporting.take(self._core, mail)
            elif mail.asked is not None:
                mail.asked.cancel()
        finally:
            if mail.written is not None:
                mail.written.set()

    async def _advance(self) -> None:
        """Starts the agent or pastes the next message, where that is due."""
        core = self._core
        if core.is_stopping or core.pasting:
            return
        if core.turn is not None:
            await aftermath.go_on(core, core.turn)
            return
        if core.is_stale and core.agent is not None:
            core.is_stale = False
            await process.restart(core, reason="SettingsChanged")
        messages = await pasting.waiting_messages(core)
        core.queued = len(messages)
        if core.around.holds_queue:  # asked after the last wait: a drain may have been granted
            return
        message = pasting.next_of(messages)
        if message is None and not core.is_wanted:
            return
        if message is not None and builtin.is_builtin(message):
            await builtin.run_builtin(core, message)
            core.mailbox.look()
            return
        if core.agent is None and not await process.start_agent(core):
            return
        core.is_wanted = False
        if message is not None and core.state is SessionState.READY:
            await pasting.paste(core, messages, message)

    async def _request_closed(
        self, pending: Pending, resolved: RequestResolved, answer: base.Answer
    ) -> None:
        await self._core.mailbox.put(Closed(pending, resolved, answer))

    async def _not_confirmed(self, what: object) -> None:
        core = self._core
        if core.pasting is not None and what is core.pasting:
            await pasting.not_confirmed(core, core.pasting)
        elif core.turn is not None and what is core.turn:
            if core.turn.interrupt is not None:
                await turns.end_turn(core, turns.outcome_of(core.turn.interrupt))
                await process.restart(core, reason="Interrupted")
            elif core.turn.is_resuming:
                await aftermath.not_resumed(core)

    # -------------------------------------------------------------- acting

    async def _interrupt(self, cause: InterruptCause) -> bool:
        core = self._core
        turn = core.turn
        if turn is None or core.agent is None:
            return False
        if turn.interrupt is None:
            turn.interrupt = cause
            core.interrupted_at = core.around.clock()
            core.agent.interrupt()
            await turns.cancel_requests(core, note="The turn was interrupted.")
            core.mailbox.arm(core.around.settings.confirm_seconds, turn)
            core.mailbox.tick()
        return True

    async def _give_room(self) -> bool:
        if not self.is_idle or self.attached:
            return False
        return await process.end_agent(self._core, "MadeRoom")

    async def _wake(self) -> bool:
        return self._core.agent is not None or await process.start_agent(self._core)

    async def _want(self) -> bool:
        self._core.is_wanted = self._core.agent is None
        return self._core.is_wanted

    async def _clear(self) -> bool:
        core = self._core
        await process.end_agent(core, "Cleared")
        core.next_generation()
        await core.enter(SessionState.EXITED, reason="Cleared")
        return True

    async def _change(self, *, model: str = "", permission_mode: str = "") -> bool:
        core = self._core
        changed = replace(
            core.row,
            model=model or core.row.model,
            permission_mode=permission_mode or core.row.permission_mode,
        )
        if changed == core.row:
            return False
        core.row = changed
        core.is_stale = True
        await core.emit(
            SessionChanged(
                core.state,
                reason="SettingsChanged",
                model=core.model,
                permission_mode=core.mode,
            )
        )
        return True


async def _do(mail: Do) -> None:
    try:
        done = await mail.act()
    except Exception as error:
        if not mail.done.done():
            mail.done.set_exception(error)
    except BaseException:
        mail.done.cancel()
        raise
    else:
        if not mail.done.done():
            mail.done.set_result(done)
