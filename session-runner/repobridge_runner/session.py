"""One conversation's session: the state machine between its queue and its agent.

Everything that changes it goes through one mailbox and one worker, in order, and is committed to
the journal before its effect is felt. The states are SessionState for the agent's process,
MessageState for each message; what a turn holds is in `turn`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.session.events import (
    ApprovalRequested,
    Body,
    Event,
    InterruptCause,
    MessageChanged,
    MessageKind,
    MessageState,
    Notice,
    Phase,
    QuestionAsked,
    RequestKind,
    RequestOutcome,
    RequestResolved,
    Scope,
    SessionChanged,
    SessionState,
    Severity,
    TurnEnded,
    TurnError,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
    Via,
)
from repobridge.telemetry import Logger
from repobridge_runner import inputs, requests, store
from repobridge_runner.agents import base
from repobridge_runner.agents.claude import AgentStartFailed, ClaudeAgent
from repobridge_runner.agents.claude_hooks import PLAN_TOOL
from repobridge_runner.agents.transcript import judge, size
from repobridge_runner.child import LaunchFailed
from repobridge_runner.counts import Counts
from repobridge_runner.journal import Journal, Transaction
from repobridge_runner.prompts import Note, make_prompt, make_system_prompt
from repobridge_runner.redact import Redactor
from repobridge_runner.requests import Pending, Requests
from repobridge_runner.settings import RunnerSettings
from repobridge_runner.store import MessageRow, OpenTurn, SessionRow
from repobridge_runner.terminal import TerminalClosed
from repobridge_runner.turn import Turn, make_title

_MAILBOX = 1000
_TICK_SECONDS = 0.03
_USAGE_SECONDS = 0.25
_CLEAR_AFTER_SECONDS = 0.4
_RESUMED_SECONDS = 3.0
_DRAFT_SECONDS = 15.0
_FINAL_BYTES = 256 << 10
_FORGOTTEN_PROMPTS = 100
_QUEUED = (MessageState.QUEUED,)
_log = Logger("repobridge.session")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session works: a checkout, a worktree, or a bare directory."""

    path: Path
    branch: str


class Surroundings(Protocol):
    """What a session needs of the runner around it."""

    settings: RunnerSettings
    journal: Journal
    redactor: Redactor
    clock: Callable[[], float]
    counts: Counts

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

    async def place(self, session: Session) -> Place:
        """Prepares the directory of a session; raises Refusal."""

    async def make_room(self, session: Session) -> bool:
        """Whether one more agent may live now; may end an idle one."""

    async def attachment_paths(self, message: MessageRow) -> Sequence[Path]:
        """The files that came with a message."""

    def touched(self) -> None:
        """Something happened; others may have waited for it."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The queue or the runner's mood changed."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time to look into the transcript."""


@dataclass(frozen=True, slots=True)
class _Late:
    """What was to be confirmed by now is not."""

    what: object


@dataclass(frozen=True, slots=True)
class _Reported:
    report: base.Report
    agent: ClaudeAgent
    asked: asyncio.Future[Pending] | None = None


@dataclass(frozen=True, slots=True)
class _Closed:
    """A request is over."""

    pending: Pending
    resolved: RequestResolved
    answer: base.Answer


@dataclass(frozen=True, slots=True)
class _Do:
    """Something that a caller waits for."""

    act: Callable[[], Awaitable[bool]]
    done: asyncio.Future[bool]


_Mail = _Look | _Tick | _Late | _Reported | _Closed | _Do


@dataclass(slots=True)
class _Pasting:
    message: MessageRow
    hooks_before: int
    entered_again: bool = False


class Session:
    """A conversation's queue, its agent and the turn between them."""

    def __init__(self, row: SessionRow, around: Surroundings) -> None:
        self.row = row
        self.state = SessionState.EXITED
        self.agent: ClaudeAgent | None = None
        self.turn: Turn | None = None
        self.queued = 0
        self.background_tasks = 0
        self.session_crons = 0
        self.attached = 0
        self.typed_at = 0.0
        self.last_activity = row.last_activity
        self.last_turn = row.last_activity
        self.requests = Requests(around.journal, listener=self._request_closed)
        self._around = around
        self._mailbox: asyncio.Queue[_Mail] = asyncio.Queue(_MAILBOX)
        self._pasting: _Pasting | None = None
        self._hooks = 0
        self._draft = False
        self._ended_prompts: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._failed_starts = 0
        self._wanted = False
        self._stopping = False

    # ------------------------------------------------------------ outside

    @property
    def conversation_id(self) -> str:
        """The client's name for this line of talk."""
        return self.row.conversation_id

    @property
    def is_live(self) -> bool:
        """An agent's process is there, or comes up."""
        return self.agent is not None or self.state is SessionState.STARTING

    @property
    def is_pasting(self) -> bool:
        """A prompt is on its way into the agent."""
        return self._pasting is not None

    @property
    def is_idle(self) -> bool:
        """An agent stands at its prompt and nothing waits for it."""
        return self.state is SessionState.READY and not self.is_pasting and not self.queued

    def look(self) -> None:
        """Says that the queue or the runner's mood changed; never waits."""
        try:
            self._mailbox.put_nowait(_Look())
        except asyncio.QueueFull:
            pass  # the worker looks after each piece of mail anyway

    async def interrupt(self, cause: InterruptCause) -> bool:
        """Ends the open turn; False when there is none."""
        return await self._do(lambda: self._interrupt(cause))

    async def restart(self) -> bool:
        """Ends the agent and brings the same session up again."""
        return await self._do(self._restart)

    async def clear(self) -> bool:
        """Begins a new generation, which remembers nothing; the queue is kept."""
        return await self._do(self._clear)

    async def stop(self, reason: str) -> bool:
        """Ends the agent; the next message resumes it."""
        return await self._do(lambda: self._stop_agent(reason))

    async def wake(self) -> bool:
        """Brings the agent up without a message, for a person who attaches."""
        self._wanted = True
        return await self._do(self._awake)

    async def set_model(self, model: str) -> bool:
        """Changes the model; a running agent is restarted when its turn is over."""
        return await self._do(lambda: self._change(model=model))

    async def set_mode(self, permission_mode: str) -> bool:
        """Changes the permission mode, likewise."""
        return await self._do(lambda: self._change(permission_mode=permission_mode))

    def note_typed(self, data: bytes) -> None:
        """A person who is attached typed: the input box may hold a draft from now on."""
        self.typed_at = self.last_activity = self._around.clock()
        self._draft = True

    async def shut_down(self, *, turn_seconds: float, grace_seconds: float) -> None:
        """Gives an open turn a while to end, then ends the agent; an open turn stays open on disk.

        The next runner goes on with it.
        """
        self._stopping = True
        try:
            async with asyncio.timeout(turn_seconds):
                while self.turn is not None and not self.requests.waiting:
                    await asyncio.sleep(_TICK_SECONDS)
        except TimeoutError:
            pass
        agent, self.agent = self.agent, None
        if agent is not None:
            await agent.stop(grace_seconds=grace_seconds)

    async def tell(self, body: Body) -> None:
        """Logs an event of this session that is none of the agent's doing."""
        await self._emit(body)

    async def run(self) -> None:
        """Works the mailbox; cancel it to end the session's work."""
        while True:
            mail = await self._mailbox.get()
            try:
                await self._handle(mail)
                await self._advance()
            except Refusal as refusal:
                _log.warning("session refused", **self._facts(error=str(refusal)))
            except Exception as error:
                _log.error("session failed", cause=error, conversation=self.conversation_id)

    async def _do(self, act: Callable[[], Awaitable[bool]]) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._mailbox.put(_Do(act, done))
        return await done

    # ---------------------------------------------------------- the worker

    async def _handle(self, mail: _Mail) -> None:
        match mail:
            case _Look():
                pass
            case _Tick():
                self._ticker = None
                await self._read_transcript()
            case _Late():
                self._timer = None
                await self._not_confirmed(mail.what)
            case _Closed():
                await self._after_request(mail)
            case _Reported():
                if mail.agent is self.agent or isinstance(mail.report, base.AgentExited):
                    await self._on_report(mail)
                elif mail.asked is not None:
                    mail.asked.cancel()
            case _Do():
                try:
                    mail.done.set_result(await mail.act())
                except BaseException as error:
                    if not mail.done.done():
                        mail.done.set_exception(error)
                    if not isinstance(error, Exception):
                        raise

    async def _advance(self) -> None:
        """Starts the agent or pastes the next message, where that is due."""
        if self._stopping or self._around.holds_queue or self.turn or self._pasting:
            return
        messages = await self._around.journal.read(
            lambda db: store.messages_in(db, self.conversation_id, *_QUEUED)
        )
        self.queued = len(messages)
        if self._around.holds_queue:
            return  # a drain was granted while we read
        ready = [message for message in messages if message.kind is not MessageKind.NOTE]
        if not ready and not self._wanted:
            return
        if self.agent is None:
            if not await self._start_agent():
                return
        self._wanted = False
        if ready and self.state is SessionState.READY and self.turn is None:
            await self._paste_next(messages, ready[0])

    # ------------------------------------------------------------ starting

    async def _start_agent(self, *, resume_turn: bool = False, reason: str = "") -> bool:
        if not await self._around.make_room(self):
            return False
        if not self._around.settings.agent.resume and not resume_turn and self.row.last_activity:
            self._next_generation()
        phase = Phase.RESUMING if self.row.last_activity else Phase.STARTING
        await self._enter(SessionState.STARTING, phase=phase, reason=reason)
        try:
            place = await self._around.place(self)
            self.row = replace(
                self.row,
                working_dir=str(place.path),
                branch=place.branch,
            )
            agent = self._around.new_agent(self.conversation_id)
            await agent.start(await self._start(resume_turn), self._handler_of(agent))
        except (AgentStartFailed, LaunchFailed, Refusal) as error:
            await self._start_failed(error)
            return False
        self.agent = agent
        self._draft = False
        self._failed_starts = 0
        resumed = bool(self.row.last_activity)
        self.row = replace(self.row, last_activity=self._around.clock())
        state = SessionState.BUSY if self.turn else SessionState.READY
        await self._enter(state, resumed=resumed)
        return True

    async def _start(self, resume_turn: bool) -> base.Start:
        settings = self._around.settings.agent
        rules = await self._around.journal.read(lambda db: store.get_meta(db, "rules")) or []
        outbox = self._around.outbox(self.conversation_id)
        fork_of = await self._around.journal.read(
            lambda db: store.get_meta(db, f"fork of {self.row.session_id}")
        )
        return base.Start(
            session_id=self.row.session_id,
            directory=Path(self.row.working_dir),
            model=self.row.model or settings.model,
            permission_mode=self.row.permission_mode or settings.permission_mode,
            system_prompt=make_system_prompt(settings.append_system_prompt, outbox=outbox),
            environment={"REPOBRIDGE_OUTBOX": str(outbox)},
            rules=rules,
            resume_turn=resume_turn,
            fork_of=fork_of or "",
        )

    def _handler_of(self, agent: ClaudeAgent) -> base.Handler:
        async def handler(report: base.Report) -> base.Answer:
            self._hooks += 1
            if not isinstance(report, base.PermissionWanted | base.QuestionsAsked):
                await self._mailbox.put(_Reported(report, agent))
                return None
            asked: asyncio.Future[Pending] = asyncio.get_running_loop().create_future()
            await self._mailbox.put(_Reported(report, agent, asked))
            return await self._answer_of(asked)

        return handler

    async def _answer_of(self, asked: asyncio.Future[Pending]) -> base.Answer:
        """Waits for the decision; expiry denies, and a closed dialog cancels."""
        pending = await asyncio.shield(asked)
        try:
            async with asyncio.timeout(self._around.settings.request_expiry_seconds):
                return await asyncio.shield(pending.future)
        except TimeoutError:
            note = "Nobody answered in time, so this was denied."
            await self.requests.close(pending, RequestOutcome.EXPIRED, Via.POLICY, note=note)
            return await pending.future
        except asyncio.CancelledError:
            # The agent hung up: the dialog was closed in the terminal, or the process is gone.
            await asyncio.shield(
                self.requests.close(pending, RequestOutcome.CANCELLED, Via.TERMINAL)
            )
            raise

    async def _start_failed(self, error: AgentStartFailed | LaunchFailed | Refusal) -> None:
        reason = error.reason if isinstance(error, AgentStartFailed | Refusal) else "LaunchFailed"
        sentence = self._around.redactor.text(
            error.message if isinstance(error, Refusal) else str(error)
        )
        self._wanted = False
        self._failed_starts += 1
        _log.error("agent did not start", conversation=self.conversation_id, reason=reason)
        if self._failed_starts == 1 and not isinstance(error, Refusal | LaunchFailed):
            await self._enter(SessionState.EXITED, reason=reason, detail=sentence)
            self.look()
            return
        self._failed_starts = 0
        events: list[Event] = []
        if self.turn is not None:
            await self._end_turn(TurnOutcome.LOST, error=TurnError(reason, sentence))
        messages = await self._around.journal.read(
            lambda db: store.messages_in(db, self.conversation_id, *_QUEUED)
        )
        self._to(SessionState.EXITED)
        events.append(
            self._event(SessionChanged(SessionState.EXITED, reason=reason, detail=sentence))
        )
        events += [
            self._event(
                MessageChanged(m.message_id, MessageState.REJECTED, reason=f"{reason}: {sentence}")
            )
            for m in messages
        ]
        self.queued = 0

        def act(tx: Transaction) -> None:
            for message in messages:
                store.update_message(
                    tx, message.message_id, state=MessageState.REJECTED, reason=reason
                )
            self._save(tx, events)

        await self._around.journal.write(act)

    # ------------------------------------------------------------- pasting

    async def _paste_next(self, messages: Sequence[MessageRow], message: MessageRow) -> None:
        agent = self.agent
        assert agent is not None
        if self._draft and not await self._draft_is_gone(agent):
            return
        notes = [m for m in messages if m.kind is MessageKind.NOTE and m.ordinal < message.ordinal]
        files = await self._around.attachment_paths(message)
        message = replace(
            message,
            state=MessageState.PASTING,
            prompt=self._prompt(message, notes, files),
            transcript_offset=size(agent.transcript.path),
            turn_id=self._around.new_id(),
            session_id=self.row.session_id,
        )
        taken = {message.message_id, *(note.message_id for note in notes)}
        behind = [m for m in messages if m.message_id not in taken]
        self.queued = len(behind)

        def act(tx: Transaction) -> None:
            for note in notes:
                store.update_message(tx, note.message_id, state=MessageState.ENDED)
                tx.append(self._event(MessageChanged(note.message_id, MessageState.ENDED)))
            store.update_message(
                tx,
                message.message_id,
                state=MessageState.PASTING,
                prompt=message.prompt,
                transcript_offset=message.transcript_offset,
                turn_id=message.turn_id,
                session_id=message.session_id,
            )
            tx.append(self._event(MessageChanged(message.message_id, MessageState.PASTING)))
            for position, waiting in enumerate(behind, start=1):
                body = MessageChanged(waiting.message_id, MessageState.QUEUED, position)
                tx.append(self._event(body))

        # Known to be on its way before the commit: a drain must not be granted in between.
        self._pasting = pasting = _Pasting(message, self._hooks)
        try:
            await self._around.journal.write(act)
        except BaseException:
            self._pasting = None
            raise
        try:
            await agent.submit(message.prompt)
        except TerminalClosed:
            return  # its AgentExited is on the way, and decides
        self._arm(self._around.settings.confirm_seconds, pasting)
        if message.kind is MessageKind.AGENT_COMMAND:
            self._tick()

    def _prompt(
        self, message: MessageRow, notes: Sequence[MessageRow], files: Sequence[Path]
    ) -> str:
        if message.kind is MessageKind.AGENT_COMMAND:
            return message.text
        return make_prompt(
            message.text,
            author=message.author,
            notes=[Note(note.author, note.text) for note in notes],
            files=files,
        )

    async def _draft_is_gone(self, agent: ClaudeAgent) -> bool:
        """A person's half-typed line would be sent with the message: wait for it, then clear it."""
        left = self.typed_at + _DRAFT_SECONDS - self._around.clock()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self.look)
            return False
        if not await agent.clear_input():
            await self._restart()
            return False
        self._draft = False
        return True

    async def _not_confirmed(self, what: object) -> None:
        if what is self._pasting and self._pasting is not None:
            await self._paste_not_confirmed(self._pasting)
        elif what is self.turn and self.turn is not None:
            if self.turn.interrupt is not None:
                await self._end_turn(_outcome_of(self.turn.interrupt))
                await self._restart()
            elif self.turn.is_resuming:
                sentence = "The turn was cut by a crash and did not go on."
                await self._end_turn(TurnOutcome.LOST, error=TurnError("NotResumed", sentence))

    async def _paste_not_confirmed(self, pasting: _Pasting) -> None:
        agent = self.agent
        if agent is None:
            return
        if self.turn is not None or self._hooks != pasting.hooks_before:
            # Something else runs; the prompt waits in the agent behind it.
            pasting.hooks_before = self._hooks
            self._arm(self._around.settings.confirm_seconds, pasting)
            return
        if not pasting.entered_again:
            pasting.entered_again = True
            agent.press_enter()
            self._arm(self._around.settings.confirm_seconds, pasting)
            return
        empty = await agent.clear_input()
        self._pasting = None
        message = pasting.message
        reason = "INPUT_NOT_TAKEN"

        def act(tx: Transaction) -> None:
            store.update_message(tx, message.message_id, state=MessageState.REJECTED, reason=reason)
            body = MessageChanged(message.message_id, MessageState.REJECTED, reason=reason)
            tx.append(self._event(body))

        await self._around.journal.write(act)
        if not empty:
            await self._restart()

    # ------------------------------------------------------------- reports

    async def _on_report(self, mail: _Reported) -> None:
        self.last_activity = self._around.clock()
        match mail.report:
            case base.PromptTaken() as report:
                await self._prompt_taken(report)
            case base.TextShown() as shown:
                await self._in_turn(shown.prompt_id, lambda turn: turn.text(shown))
            case base.ToolBegan() as began:
                await self._in_turn(began.prompt_id, lambda turn: turn.tool_began(began))
            case base.ToolFinished() as finished:
                await self._answered_in_terminal(finished)
                await self._in_turn(finished.prompt_id, lambda turn: turn.tool_finished(finished))
            case base.PermissionWanted() | base.QuestionsAsked():
                await self._asked(mail)
            case base.TurnStopped() as report:
                await self._stopped(report)
            case base.TurnFailed() as report:
                if await self._turn_of(report.prompt_id):
                    error = TurnError(report.code, self._around.redactor.text(report.message))
                    await self._end_turn(TurnOutcome.FAILED, error=error)
            case base.Compacting():
                await self._command_runs()
            case base.Compacted() as report:
                await self._emit(Notice(Severity.INFO, "Compacted", {"trigger": report.trigger}))
            case base.AgentExited() as report:
                await self._exited(report, mail.agent)
            case base.Interrupted() | base.CommandDone() | base.UsageSeen() as report:
                await self._from_transcript(report)

    async def _turn_of(self, prompt_id: str) -> Turn | None:
        """The turn that a report belongs to; None for one that ended.

        A prompt that nobody submitted opens a turn of its own: a background task, a schedule.
        """
        if prompt_id in self._ended_prompts:
            return None
        if self.turn is None and not self._pasting and prompt_id:
            origin = TurnOrigin.CRON if self.session_crons else TurnOrigin.BACKGROUND
            await self._open_turn(origin, prompt_id=prompt_id)
        return self.turn

    async def _in_turn(self, prompt_id: str, tell: Callable[[Turn], Iterable[Body]]) -> None:
        turn = await self._turn_of(prompt_id)
        if turn is not None:
            turn.prompt_ids.add(prompt_id)
            await self._emit(*tell(turn))

    async def _prompt_taken(self, report: base.PromptTaken) -> None:
        turn = self.turn
        if report.prompt_id in self._ended_prompts:
            return
        if turn is not None and report.prompt_id in turn.prompt_ids:
            return
        self._draft = False
        if turn is not None and turn.is_resuming:
            turn.is_resuming = False
            turn.prompt_ids.add(report.prompt_id)
            self._disarm()
            body = TurnOpened(TurnOrigin.RESUME, turn.message_id, turn.actor, self.row.model)
            await self._emit(body)
            return
        pasting = self._pasting
        if pasting is not None and _is_prompt(report.prompt, pasting.message.prompt):
            if turn is not None:
                await self._end_turn(TurnOutcome.COMPLETED)
            self._pasting = None
            self._disarm()
            await self._open_turn(
                TurnOrigin.MESSAGE, prompt_id=report.prompt_id, message=pasting.message
            )
        elif turn is not None:
            turn.prompt_ids.add(report.prompt_id)  # typed or queued into the running turn
        else:
            origin = _origin_of(report.prompt, crons=self.session_crons)
            await self._open_turn(origin, prompt_id=report.prompt_id, prompt=report.prompt)

    async def _open_turn(
        self,
        origin: TurnOrigin,
        *,
        prompt_id: str = "",
        message: MessageRow | None = None,
        prompt: str = "",
    ) -> None:
        assert self.agent is not None
        now = self._around.clock()
        self.turn = turn = Turn(
            turn_id=message.turn_id if message else self._around.new_id(),
            origin=origin,
            message_id=message.message_id if message else "",
            actor=message.author if message else None,
            prompt=message.prompt if message else prompt,
            transcript_offset=message.transcript_offset
            if message
            else size(self.agent.transcript.path),
            opened_at=now,
            redactor=self._around.redactor,
            keep_blob=self._around.keep_blob,
            prompt_ids={prompt_id} if prompt_id else set(),
        )
        self.last_turn = now
        self.row = replace(self.row, open_turn=_open_turn_of(turn), resume_attempts=0)
        self._to(SessionState.BUSY)
        events = [
            self._event(SessionChanged(SessionState.BUSY)),
            self._event(TurnOpened(origin, turn.message_id, turn.actor, self.model)),
        ]

        def act(tx: Transaction) -> None:
            if message is not None:
                store.update_message(tx, message.message_id, state=MessageState.OPEN)
                tx.append(self._event(MessageChanged(message.message_id, MessageState.OPEN)))
            self._save(tx, events)

        await self._around.journal.write(act)

    async def _stopped(self, report: base.TurnStopped) -> None:
        self.background_tasks = report.background_tasks
        self.session_crons = report.session_crons
        turn = await self._turn_of(report.prompt_id)
        if turn is None:
            return
        await self._wait_for_usage(turn)
        await self._emit(*turn.rest_of(report.text))
        await self._end_turn(TurnOutcome.COMPLETED, text=report.text)

    async def _wait_for_usage(self, turn: Turn) -> None:
        """The transcript is written about 100 ms late: it brings the tokens, and the memory.

        What is not in it yet would be forgotten by a session that crashes now.
        """
        deadline = self._around.clock() + _USAGE_SECONDS
        before = turn.usage
        while turn.usage == before and self._around.clock() < deadline:
            await self._read_transcript()
            if turn.usage == before:
                await asyncio.sleep(_TICK_SECONDS)

    # ------------------------------------------------------------ requests

    async def _asked(self, mail: _Reported) -> None:
        assert mail.asked is not None
        report = mail.report
        assert isinstance(report, base.PermissionWanted | base.QuestionsAsked)
        turn = await self._turn_of(report.prompt_id)
        if turn is None:
            mail.asked.cancel()
            return
        expires_at = self._around.clock() + self._around.settings.request_expiry_seconds
        if isinstance(report, base.PermissionWanted):
            body, tool_name = self._approval(turn, report, expires_at), report.tool_name
            suggestions = report.suggestions
        else:
            questions = requests.make_questions(report.input)
            body = QuestionAsked(self._around.new_id(), questions, expires_at)
            tool_name, suggestions = "AskUserQuestion", ()
        self._to(SessionState.WAITING)
        pending = await self.requests.add(
            self._event(body),
            body,
            tool_name=tool_name,
            input=report.input,
            suggestions=suggestions,
            more=[self._event(SessionChanged(SessionState.WAITING))],
        )
        if mail.asked.cancelled():
            await self.requests.close(pending, RequestOutcome.CANCELLED, Via.TERMINAL)
        else:
            mail.asked.set_result(pending)

    def _approval(
        self, turn: Turn, report: base.PermissionWanted, expires_at: float
    ) -> ApprovalRequested | QuestionAsked:
        shown, blob_id = turn.shown_input(report.input)
        redactor = self._around.redactor
        return ApprovalRequested(
            request_id=self._around.new_id(),
            kind=RequestKind.PLAN if report.tool_name == PLAN_TOOL else RequestKind.TOOL,
            tool_name=report.tool_name,
            input_json=shown,
            input_blob_id=blob_id,
            input_sha256=requests.sha256_of(report.input),
            suggestions=tuple(
                replace(each, label=redactor.text(each.label)) for each, _ in report.suggestions
            ),
            expires_at=expires_at,
            title=redactor.text(make_title(report.tool_name, report.input)),
        )

    async def _answered_in_terminal(self, finished: base.ToolFinished) -> None:
        """The tool ran while its request still waits: somebody allowed it in the terminal."""
        for pending in tuple(self.requests.waiting.values()):
            if pending.tool_name == finished.name and pending.input == finished.input:
                await self.requests.close(pending, RequestOutcome.ALLOWED, Via.TERMINAL)
                return

    async def _request_closed(
        self, pending: Pending, resolved: RequestResolved, answer: base.Answer
    ) -> None:
        await self._mailbox.put(_Closed(pending, resolved, answer))

    async def _after_request(self, closed: _Closed) -> None:
        turn = self.turn
        if turn is None or closed.pending.envelope.turn_id != turn.turn_id:
            return
        denied = (RequestOutcome.DENIED, RequestOutcome.EXPIRED)
        if closed.resolved.outcome in denied:
            await self._emit(*turn.tool_denied(closed.pending.tool_name, closed.pending.input))
        if closed.resolved.scope is Scope.ALWAYS and isinstance(closed.answer, base.Permission):
            await self._keep_rules(closed.answer)
        if not self.requests.waiting and self.state is SessionState.WAITING:
            await self._enter(SessionState.BUSY)
        if closed.resolved.via is Via.TERMINAL:
            self._tick()  # ESC in the dialog ends the turn, and only the transcript tells

    async def _keep_rules(self, permission: base.Permission) -> None:
        new = requests.lasting_rules(permission.updates)

        def act(tx: Transaction) -> None:
            rules = store.get_meta(tx, "rules") or []
            store.put_meta(tx, "rules", rules + [rule for rule in new if rule not in rules])

        await self._around.journal.write(act)

    # ---------------------------------------------------------- transcript

    async def _read_transcript(self) -> None:
        if self.agent is None:
            return
        for seen in self.agent.transcript.read():
            await self._from_transcript(seen)
        await self._maybe_clear_after_interrupt()
        watching = self.turn is not None and (self.turn.interrupt or self._is_unsure())
        command = self._pasting and self._pasting.message.kind is MessageKind.AGENT_COMMAND
        if watching or command or self._is_command():
            self._tick()

    def _is_command(self) -> bool:
        return self.turn is not None and self.turn.prompt.startswith("/")

    def _is_unsure(self) -> bool:
        """A request was closed in the terminal: the turn may have ended with it."""
        return self.turn is not None and self.state is SessionState.BUSY and not self._has_waiter()

    def _has_waiter(self) -> bool:
        return bool(self.requests.waiting)

    async def _from_transcript(self, seen: base.Report) -> None:
        turn = self.turn
        if isinstance(seen, base.UsageSeen) and turn is not None:
            turn.used(seen)
        elif isinstance(seen, base.Interrupted) and turn is not None:
            cause = turn.interrupt or InterruptCause.USER
            await self._end_turn(_outcome_of(cause))
        elif isinstance(seen, base.CommandDone):
            await self._command_runs()
            if self._is_command():
                await self._end_turn(TurnOutcome.COMPLETED, text=seen.output)

    async def _command_runs(self) -> None:
        """One of the agent's own commands shows a sign of life: that confirms it."""
        pasting = self._pasting
        if pasting is not None and pasting.message.kind is MessageKind.AGENT_COMMAND:
            self._pasting = None
            self._disarm()
            await self._open_turn(TurnOrigin.MESSAGE, message=pasting.message)
            self._tick()

    async def _maybe_clear_after_interrupt(self) -> None:
        """ESC before the first output leaves no mark, and puts the prompt back into the box."""
        turn, agent = self.turn, self.agent
        if turn is None or agent is None or turn.interrupt is None or turn.has_output:
            return
        if self._around.clock() < self._interrupted_at + _CLEAR_AFTER_SECONDS:
            return
        empty = await agent.clear_input()
        await self._end_turn(_outcome_of(turn.interrupt))
        if not empty:
            await self._restart()

    # -------------------------------------------------------------- acting

    async def _interrupt(self, cause: InterruptCause) -> bool:
        turn = self.turn
        if turn is None or self.agent is None:
            return False
        if turn.interrupt is None:
            turn.interrupt = cause
            self._interrupted_at = self._around.clock()
            await self._cancel_requests("The turn was interrupted.")
            self.agent.interrupt()
            self._arm(self._around.settings.confirm_seconds, turn)
            self._tick()
        return True

    _interrupted_at = 0.0

    async def _restart(self) -> bool:
        await self._end_process("Restarted", TurnOutcome.INTERRUPTED)
        self._wanted = True
        return True

    async def _awake(self) -> bool:
        return self.agent is not None or await self._start_agent()

    async def _stop_agent(self, reason: str) -> bool:
        return await self._end_process(reason, TurnOutcome.INTERRUPTED)

    async def _clear(self) -> bool:
        await self._end_process("Cleared", TurnOutcome.INTERRUPTED)
        self._next_generation()
        await self._enter(SessionState.EXITED, reason="Cleared")
        return True

    async def _change(self, *, model: str = "", permission_mode: str = "") -> bool:
        changed = replace(
            self.row,
            model=model or self.row.model,
            permission_mode=permission_mode or self.row.permission_mode,
        )
        if changed == self.row:
            return False
        self.row = changed
        await self._emit(
            SessionChanged(
                self.state,
                reason="SettingsChanged",
                model=self.model,
                permission_mode=self.mode,
            )
        )
        if self.agent is not None and self.turn is None and self._pasting is None:
            await self._restart()
        else:
            self._stale = True
        return True

    _stale = False

    async def _end_process(self, reason: str, outcome: TurnOutcome) -> bool:
        """Ends the open turn and then the agent's process; False when there is none."""
        if self.turn is not None:
            await self._cancel_requests("The session was stopped.")
            await self._end_turn(outcome)
        agent, self.agent = self.agent, None
        if agent is None:
            return False
        await self._enter(SessionState.STOPPING, reason=reason)
        await agent.stop(grace_seconds=self._around.settings.shutdown_grace_seconds)
        if self._pasting is not None:
            await self._judge_paste(self._pasting, agent)
        await self._enter(SessionState.EXITED, reason=reason)
        self._around.touched()
        return True

    async def _exited(self, report: base.AgentExited, agent: ClaudeAgent) -> None:
        if agent is not self.agent:
            return
        self.agent = None
        self._disarm()
        status = report.status
        how = (
            "out of memory"
            if status.out_of_memory
            else (f"signal {status.signal}" if status.signal else f"exit code {status.code}")
        )
        _log.warning("agent ended by itself", **self._facts(how=how))
        await self._cancel_requests("The agent's process ended.")
        if self._pasting is not None:
            await self._judge_paste(self._pasting, agent)
        if self.turn is None:
            await self._enter(
                SessionState.EXITED, reason="Exited" if status.code == 0 else "Crashed", detail=how
            )
            self._around.touched()
            return
        if status.out_of_memory:
            sentence = "The agent ran out of memory; the session goes on with the next message."
            await self._end_turn(
                TurnOutcome.OUT_OF_MEMORY, error=TurnError("OutOfMemory", sentence)
            )
            await self._enter(SessionState.EXITED, reason="OutOfMemory", detail=how)
        else:
            await self._resume_turn(agent.transcript.path, how)

    async def _judge_paste(self, pasting: _Pasting, agent: ClaudeAgent) -> None:
        """The agent is gone in mid-paste: its transcript tells whether it took the prompt."""
        self._pasting = None
        message = pasting.message
        found = judge(
            agent.transcript.path, offset=message.transcript_offset, prompt=message.prompt
        )
        if found.prompt_stands:
            self.agent = agent
            await self._open_turn(TurnOrigin.MESSAGE, message=message)
            self.agent = None
            return

        def act(tx: Transaction) -> None:
            store.update_message(tx, message.message_id, state=MessageState.QUEUED, turn_id="")
            tx.append(self._event(MessageChanged(message.message_id, MessageState.QUEUED, 1)))

        await self._around.journal.write(act)

    async def _resume_turn(self, transcript: Path, how: str) -> None:
        """Goes on with the turn that a crash cut: once, and then tells that it is lost."""
        turn = self.turn
        assert turn is not None
        found = judge(transcript, offset=turn.transcript_offset, prompt=turn.prompt)
        if found.finished:
            await self._end_turn(TurnOutcome.COMPLETED, text=found.text)
            await self._enter(SessionState.EXITED, reason="Crashed", detail=how)
            return
        if self.row.resume_attempts or not found.prompt_stands or turn.interrupt:
            outcome = _outcome_of(turn.interrupt) if turn.interrupt else TurnOutcome.LOST
            sentence = f"The agent's process ended ({how}) and the turn could not go on."
            await self._end_turn(outcome, error=TurnError("Crashed", sentence))
            await self._enter(SessionState.EXITED, reason="Crashed", detail=how)
            return
        turn.is_resuming = True
        self.row = replace(self.row, resume_attempts=self.row.resume_attempts + 1)
        await self._emit(Notice(Severity.WARNING, "AgentRestarted", {"reason": how}))
        if await self._start_agent(resume_turn=True, reason="Crashed"):
            self._arm(_RESUMED_SECONDS, turn)

    async def recover(self, transcript: Path) -> None:
        """Takes up what a former runner left: call it before `run`."""
        left = await self._around.journal.read(
            lambda db: store.messages_in(db, self.conversation_id, MessageState.PASTING)
        )
        for message in left:
            found = judge(transcript, offset=message.transcript_offset, prompt=message.prompt)
            await self._recover_paste(message, stands=found.prompt_stands)
        self.queued = len(
            await self._around.journal.read(
                lambda db: store.messages_in(db, self.conversation_id, *_QUEUED)
            )
        )
        opened = self.row.open_turn
        if opened is not None:
            self.turn = await self._recovered_turn(opened)
            await self._mailbox.put(
                _Do(lambda: self._resume_after_restart(transcript), _ignored_future())
            )
        elif self.queued:
            self.look()

    async def _resume_after_restart(self, transcript: Path) -> bool:
        if self.turn is not None:
            await self._resume_turn(transcript, "the runner was restarted")
        return True

    async def _recover_paste(self, message: MessageRow, *, stands: bool) -> None:
        state = MessageState.OPEN if stands else MessageState.QUEUED
        if stands:
            opened = OpenTurn(
                turn_id=message.turn_id,
                origin=TurnOrigin.MESSAGE.name,
                message_id=message.message_id,
                prompt=message.prompt,
                transcript_offset=message.transcript_offset,
                opened_at=self._around.clock(),
            )
            self.row = replace(self.row, open_turn=opened, resume_attempts=0)

        def act(tx: Transaction) -> None:
            store.update_message(tx, message.message_id, state=state)
            tx.append(self._event(MessageChanged(message.message_id, state)))
            if stands:
                body = TurnOpened(TurnOrigin.MESSAGE, message.message_id, message.author)
                tx.append(replace(self._event(body), turn_id=message.turn_id))
            store.put_session(tx, self.row)

        await self._around.journal.write(act)

    async def _recovered_turn(self, opened: OpenTurn) -> Turn:
        message = await self._around.journal.read(
            lambda db: store.find_message(db, opened.message_id)
        )
        return Turn(
            turn_id=opened.turn_id,
            origin=TurnOrigin[opened.origin],
            message_id=opened.message_id,
            actor=message.author if message else None,
            prompt=opened.prompt,
            transcript_offset=opened.transcript_offset,
            opened_at=opened.opened_at,
            redactor=self._around.redactor,
            keep_blob=self._around.keep_blob,
        )

    # -------------------------------------------------------------- ending

    async def _cancel_requests(self, note: str) -> None:
        for pending in tuple(self.requests.waiting.values()):
            await self.requests.close(pending, RequestOutcome.CANCELLED, Via.POLICY, note=note)

    async def _end_turn(
        self, outcome: TurnOutcome, *, text: str = "", error: TurnError | None = None
    ) -> None:
        """Tells the end of the open turn, once, with all that is still open in it."""
        turn = self.turn
        assert turn is not None
        for pending in tuple(self.requests.waiting.values()):
            await self.requests.close(pending, RequestOutcome.CANCELLED, Via.TERMINAL)
        if outcome is not TurnOutcome.COMPLETED and self.agent is not None:
            for seen in self.agent.transcript.read():
                if isinstance(seen, base.UsageSeen):
                    turn.used(seen)
        bodies: list[Body] = list(turn.close())
        if turn.usage.model:
            bodies.append(turn.usage)
        bodies.append(self._ended(outcome, text, error))
        events = [self._event(body) for body in bodies]
        usage = _added(self.row.usage, turn)
        self.turn = None
        self._disarm()
        self._ended_prompts = [*self._ended_prompts, *turn.prompt_ids][-_FORGOTTEN_PROMPTS:]
        self.last_turn = self.last_activity = self._around.clock()
        self.row = replace(self.row, open_turn=None, usage=usage, last_activity=self.last_turn)
        if self.agent is not None:
            self._to(SessionState.READY)
            events.append(self._event(SessionChanged(SessionState.READY)))

        def act(tx: Transaction) -> None:
            if turn.message_id:
                store.update_message(tx, turn.message_id, state=MessageState.ENDED)
                tx.append(
                    replace(
                        self._event(MessageChanged(turn.message_id, MessageState.ENDED)),
                        turn_id=turn.turn_id,
                    )
                )
            self._save(tx, events)

        await self._around.journal.write(act, essential=True)
        self._around.counts.turns[outcome] += 1
        self._around.touched()
        if self._pasting is not None:
            self._arm(self._around.settings.confirm_seconds, self._pasting)
        elif self._stale:
            self._stale = False
            await self._restart()

    def _ended(self, outcome: TurnOutcome, text: str, error: TurnError | None) -> TurnEnded:
        final = self._around.redactor.text(text)
        is_long = len(final.encode("utf-8", "replace")) > _FINAL_BYTES
        return TurnEnded(
            outcome=outcome,
            error=error,
            final_markdown="" if is_long else final,
            final_blob_id=self._around.keep_blob(final, "answer.md") if is_long else "",
            background_tasks=self.background_tasks,
            session_crons=self.session_crons,
        )

    # -------------------------------------------------------------- saying

    def _event(self, body: Body) -> Event:
        return Event(
            body=body,
            conversation_id=self.conversation_id,
            session_id=self.row.session_id,
            generation=self.row.generation,
            turn_id=self.turn.turn_id if self.turn else "",
        )

    def _save(self, tx: Transaction, events: Iterable[Event]) -> None:
        for event in events:
            tx.append(event)
        store.put_session(tx, self.row)

    async def _emit(self, *bodies: Body) -> None:
        if bodies:
            events = [self._event(body) for body in bodies]
            await self._around.journal.write(lambda tx: self._save(tx, events))

    def _to(self, state: SessionState) -> None:
        self.state = state
        self.row = replace(self.row, state=state)

    async def _enter(
        self,
        state: SessionState,
        *,
        phase: Phase | None = None,
        reason: str = "",
        detail: str = "",
        resumed: bool = False,
    ) -> None:
        self._to(state)
        await self._emit(
            SessionChanged(
                state=state,
                phase=phase,
                reason=reason,
                detail=detail,
                model=self.model,
                permission_mode=self.mode,
                resumed=resumed,
            )
        )

    @property
    def model(self) -> str:
        """The model that it runs; empty: the agent's default."""
        return self.row.model or self._around.settings.agent.model

    @property
    def mode(self) -> str:
        """Its permission mode."""
        return self.row.permission_mode or self._around.settings.agent.permission_mode

    def _next_generation(self) -> None:
        generation = self.row.generation + 1
        session_id = self._around.session_id(self.conversation_id, generation)
        self.row = replace(
            self.row, generation=generation, session_id=session_id, last_activity=0.0, usage={}
        )

    def _facts(self, **more: str) -> dict[str, str]:
        return {"conversation": self.conversation_id, "session": self.row.session_id, **more}

    # -------------------------------------------------------------- timing

    def _arm(self, seconds: float, what: object) -> None:
        """One thing at a time waits for its confirmation."""
        self._disarm()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._post, _Late(what))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        if self._ticker is None:
            loop = asyncio.get_running_loop()
            self._ticker = loop.call_later(_TICK_SECONDS, self._post, _Tick())

    def _post(self, mail: _Mail) -> None:
        try:
            self._mailbox.put_nowait(mail)
        except asyncio.QueueFull:
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._post, mail)


def _is_prompt(confirmed: str, pasted: str) -> bool:
    """The hook's prompt is the pasted one, maybe behind a draft that stood in the box."""
    confirmed = inputs.trim_end(unicodedata.normalize("NFC", confirmed))
    return confirmed == pasted or (len(pasted) > 0 and confirmed.endswith(pasted))


def _origin_of(prompt: str, *, crons: int) -> TurnOrigin:
    if prompt.lstrip().startswith("<task-notification"):
        return TurnOrigin.BACKGROUND
    return TurnOrigin.CRON if crons else TurnOrigin.TERMINAL


def _outcome_of(cause: InterruptCause | None) -> TurnOutcome:
    return TurnOutcome.BUDGET if cause is InterruptCause.BUDGET else TurnOutcome.INTERRUPTED


def _open_turn_of(turn: Turn) -> OpenTurn:
    return OpenTurn(
        turn_id=turn.turn_id,
        origin=turn.origin.name,
        message_id=turn.message_id,
        prompt=turn.prompt,
        transcript_offset=turn.transcript_offset,
        opened_at=turn.opened_at,
    )


def _added(usage: dict[str, int] | object, turn: Turn) -> dict[str, int]:
    before = dict(usage) if isinstance(usage, dict) else {}
    used = dataclasses.asdict(turn.usage)
    counts = ("input", "output", "cache_read", "cache_write", "cost_micro_usd")
    return {
        **{name: before.get(name, 0) + used[name] for name in counts},
        "context_used": used["context_used"] or before.get("context_used", 0),
    }


def _ignored_future() -> asyncio.Future[bool]:
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
