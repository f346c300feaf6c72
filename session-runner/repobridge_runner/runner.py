"""One runner: the workspace, the sessions in it, and what they all share.

It is what a session sees around itself, and what the server calls; it knows nothing of gRPC.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path

from repobridge import names
from repobridge.errors import Refusal, Status
from repobridge.session.events import (
    MAIN_CONVERSATION,
    Event,
    FileProduced,
    Notice,
    RunnerState,
    SessionChanged,
    Severity,
    WorkspaceChanged,
)
from repobridge.telemetry import Logger
from repobridge_runner import requests, store
from repobridge_runner.agentmaker import AgentMaker
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.attachments import Attachments
from repobridge_runner.blobs import BlobStore
from repobridge_runner.counts import Counts
from repobridge_runner.drain import Drain
from repobridge_runner.gitcommand import GitError
from repobridge_runner.journal import Journal, Transaction
from repobridge_runner.log import EventLog, LogBounds
from repobridge_runner.outbox import watch_outbox
from repobridge_runner.preparation import Preparation
from repobridge_runner.reaper import Reaper
from repobridge_runner.redact import Redactor
from repobridge_runner.session import Place, Session
from repobridge_runner.settings import RunnerSettings
from repobridge_runner.store import MessageRow, SessionRow
from repobridge_runner.workspace import Workspace, WorkspaceSettings
from repobridge_runner.workspaceerror import WorkspaceError

_log = Logger("repobridge.runner")
_TRIM_MINUTES = 60


class Runner:
    """Everything that one runner process owns."""

    def __init__(
        self,
        settings: RunnerSettings,
        *,
        journal: Journal,
        redactor: Redactor,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.redactor = redactor
        self.clock = clock
        self.log = EventLog(
            journal, bounds=LogBounds(max_bytes=settings.log_max_bytes), clock=clock
        )
        self.sessions: dict[str, Session] = {}
        self.started_at = clock()
        self.blobs = BlobStore(
            settings.state_dir / "private" / "blobs",
            keep_seconds=LogBounds.max_age_seconds,  # as long as the events that name them
        )
        self.attachments = Attachments(settings.state_dir / "attachments")
        self.drain = Drain(clock=time.monotonic)
        self.counts = Counts()
        self._agents = AgentMaker(settings, environment=environment)
        self.reaper = Reaper(on_scan=self._agents.oom.observe)
        self.agent_version = ""
        self.submitting = 0
        self._workspace = Workspace(
            WorkspaceSettings(
                directory=settings.directory,
                state_dir=settings.state_dir / "private" / "workspace",
                worktrees_dir=settings.state_dir / "worktrees",
                bridge_uid=settings.bridge_uid,
                repository_url=settings.repository.url,
                ref=settings.repository.ref,
                credentials_dir=settings.repository.credentials_dir,
            ),
            environment=environment,
            redactor=redactor,
        )
        self.version_known = asyncio.Event()
        self._preparation = Preparation(
            self._workspace, self.log, beside=self.beside, changed=self.touched
        )
        self._agent_refusal = ""
        self._tasks: asyncio.TaskGroup
        self._own_tasks: set[asyncio.Task[None]] = set()
        self._workspaces: dict[str, WorkspaceChanged] = {}
        self._is_stopping = False

    # ------------------------------------------------------------- running

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Takes up what was left, and prepares the workspace beside it."""
        self._tasks = tasks
        await self._agents.start()
        rows = await self.journal.read(store.all_sessions)
        await self._cancel_orphans(rows)
        for row in rows:
            self._add(row)
        for session in tuple(self.sessions.values()):
            await session.recover()
            self._spawn(session)
        self.beside(self._preparation.run(), "prepare workspace")
        if self.settings.warm_start:
            self.beside(self._start_warm(), "warm start")
        self.beside(self._trim_for_ever(), "trim log")

    async def close(self) -> None:
        """Ends the agents within the grace; what is open stays open on disk. Once is enough."""
        if self._is_stopping:
            return
        self._is_stopping = True
        grace = self.settings.shutdown_grace_seconds
        drained = self.drain.is_granted
        await asyncio.gather(
            *(
                session.shut_down(turn_seconds=0 if drained else grace / 2, grace_seconds=grace / 2)
                for session in self.sessions.values()
            )
        )
        await self._agents.close()
        self._workspace.close()
        await self.journal.close()
        self.log.close()

    async def _cancel_orphans(self, rows: Sequence[SessionRow]) -> None:
        def act(tx: Transaction) -> None:
            envelopes = {
                row.conversation_id: Event(
                    SessionChanged(), row.conversation_id, row.session_id, row.generation
                )
                for row in rows
            }
            requests.cancel_orphans(tx, envelopes)

        await self.journal.write(act, essential=True)

    async def _start_warm(self) -> None:
        """Who woke this runner is on the way with a message: most likely for the last one used."""
        # Until the workspace is there nothing starts, and a runner may still be drained.
        await self._preparation.tried()
        if self._preparation.unusable is None:
            used = max(self.sessions.values(), key=lambda each: each.last_activity, default=None)
            await (used or self.ensure(MAIN_CONVERSATION)).warm()

    async def _trim_for_ever(self) -> None:
        was_full = False
        for minute in itertools.count():
            try:
                was_full = await self._tend_log(trim=minute % _TRIM_MINUTES == 0, told=was_full)
            except Refusal as refusal:
                _log.warning("log not tended", error=str(refusal))
            await asyncio.sleep(60)

    async def _tend_log(self, *, trim: bool, told: bool) -> bool:
        """Keeps the log within its bounds, and says once that the disk fills; whether it is."""
        if trim:
            await self.log.trim()
        disk = self.log.disk_state()
        if disk.full and not told:
            used = f"{disk.fraction_used:.0%}"
            _log.warning("disk nearly full", used=used)
            await self.log.append(Event(Notice(Severity.WARNING, "DiskLow", {"used": used})))
        return disk.full

    def _add(self, row: SessionRow) -> Session:
        session = self.sessions[row.conversation_id] = Session(row, self)
        return session

    def _spawn(self, session: Session) -> None:
        name = f"session {session.conversation_id}"
        self.beside(session.run(), name)
        self.beside(self._watch_outbox(session), f"outbox of {name}")

    def beside(self, work: Coroutine[None, None, None], name: str) -> None:
        """Has something done beside the calls; what fails in it is logged, and no more."""
        task = self._tasks.create_task(_logged(work, name), name=name)
        self._own_tasks.add(task)
        task.add_done_callback(self._own_tasks.discard)

    def cancel_tasks(self) -> None:
        """Ends everything that the runner does beside its calls."""
        for task in self._own_tasks:
            task.cancel()

    def refuse_agent(self, sentence: str) -> None:
        """The agent's program can't be used; new work is refused with the sentence."""
        self._agent_refusal = sentence

    # --------------------------------------------- what a session sees of it

    @property
    def state(self) -> RunnerState:
        """Whether the workspace is there."""
        return self._preparation.state

    @property
    def is_stopping(self) -> bool:
        """The runner takes nothing new any more."""
        return self._is_stopping

    async def prepared(self) -> None:
        """Returns when the workspace is there, or can't be."""
        await self._preparation.tried()

    @property
    def holds_queue(self) -> bool:
        """A drain is under way, or the end."""
        return self._is_stopping or self.drain.is_active

    def new_id(self) -> str:
        """A new id for a turn or a request."""
        return uuid.uuid4().hex

    def keep_blob(self, text: str, name: str) -> str:
        """Keeps a text that is too long for an event."""
        media_type = "application/json" if name.endswith(".json") else "text/plain"
        return self.blobs.put_bytes(text.encode(), name=name, media_type=media_type).blob_id

    def new_agent(self, conversation_id: str) -> ClaudeAgent:
        """An agent that is not started yet."""
        return self._agents.make(conversation_id, git_environment=self._workspace.git_environment())

    def session_id(self, conversation_id: str, generation: int) -> str:
        """The session's id, the same on every runner of the bridge."""
        return names.session_id(self.settings.bridge_uid, conversation_id, generation)

    def outbox(self, conversation_id: str) -> Path:
        """Where a session puts files for people."""
        path = self.settings.state_dir / "outbox" / names.slug(conversation_id)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def inbox(self, conversation_id: str) -> Path:
        """Where what people attach to their messages lands."""
        return self.attachments.directory(conversation_id)

    def transcript(self, row: SessionRow) -> Path:
        """The agent's own record of a session."""
        return self._agents.transcript(row)

    async def place(self, row: SessionRow) -> Place:
        """Where a session works; waits for the clone."""
        await self._preparation.tried()
        await self.version_known.wait()
        self.refuse_unusable()
        try:
            worktree = await self._workspace.worktree(
                row.conversation_id, start_point=row.base_commit
            )
        except WorkspaceError as error:
            raise Refusal(Status.FAILED_PRECONDITION, error.reason, error.sentence, {}) from error
        return Place(worktree.path, worktree.branch)

    async def make_room(self, conversation_id: str) -> bool:
        """Whether one more agent may live; the least recently used idle one makes room."""
        others = [
            each
            for each in self.sessions.values()
            if each.is_live and each.conversation_id != conversation_id
        ]
        if len(others) < self.settings.live_sessions:
            return True
        idle = [each for each in others if each.is_idle and not each.attached]
        if idle:
            # Not awaited here: its worker may wait for ours. It looks again when room is made.
            oldest = min(idle, key=lambda each: each.last_activity)
            self.beside(self._end_idle(oldest), "make room")
        return False

    async def _end_idle(self, session: Session) -> None:
        if not await session.give_room():
            self.touched()  # it is needed again: whoever waits for room looks for another

    async def attachment_paths(self, message: MessageRow) -> Sequence[Path]:
        """The files that came with a message."""
        if not message.attachments:
            return ()
        return self.attachments.lookup(
            message.conversation_id, message.message_id, message.attachments
        )

    def turn_ended(self, row: SessionRow) -> None:
        """Tells where the working tree stands now, where that changed."""
        if row.working_dir and not self._is_stopping:
            self.beside(self._tell_workspace(row), "workspace status")

    async def _tell_workspace(self, row: SessionRow) -> None:
        try:
            now = await self._workspace.status(Path(row.working_dir))
        except (GitError, OSError) as error:
            _log.warning("workspace status unknown", error=str(error))
            return
        if now != self._workspaces.get(row.conversation_id, WorkspaceChanged()):
            self._workspaces[row.conversation_id] = now
            await self.sessions[row.conversation_id].tell(now)

    def touched(self) -> None:
        """Something ended that others may have waited for."""
        for session in self.sessions.values():
            if session.queued or session.turn is not None:
                session.look()

    def hold(self, drain_id: str, *, seconds: float, granted: bool) -> None:
        """Begins or renews a drain; when it expires, the queues move again."""
        self.drain.hold(drain_id, seconds=seconds, granted=granted)
        asyncio.get_running_loop().call_later(seconds + 0.01, self.touched)

    # ---------------------------------------------------------------- calls

    def find(self, conversation_id: str) -> Session:
        """A session that is known; raises Refusal."""
        session = self.sessions.get(conversation_id)
        if session is None:
            raise Refusal(
                Status.NOT_FOUND,
                "UNKNOWN_CONVERSATION",
                f"There is no conversation {conversation_id!r} here; Submit makes one.",
                {"known": ", ".join(sorted(self.sessions))},
            )
        return session

    def ensure(self, conversation_id: str) -> Session:
        """A session, made where there is none."""
        if conversation_id in self.sessions:
            return self.sessions[conversation_id]
        return self.add(SessionRow(conversation_id, self.session_id(conversation_id, 0)))

    def add(self, row: SessionRow) -> Session:
        """Takes up a new session and begins to work for it."""
        session = self._add(row)
        self._spawn(session)
        return session

    async def decide(self, request_id: str, decision: requests.Decision) -> str:
        """Answers a request of any session; returns the outcome's name. Raises Refusal."""
        for session in self.sessions.values():
            if request_id in session.requests.waiting:
                return (await session.requests.decide(request_id, decision)).name
        raise await requests.refuse_closed(self.journal, request_id)

    @property
    def workspace(self) -> Workspace:
        """The checkout and its worktrees."""
        return self._workspace

    def config_directory(self, conversation_id: str) -> Path:
        """Where the agent of a conversation keeps its own configuration and transcripts."""
        return self._agents.config_directory(conversation_id)

    @property
    def problem(self) -> Refusal | None:
        """Why nothing can run here before a person has mended it."""
        if unusable := self._preparation.unusable:
            return Refusal(Status.FAILED_PRECONDITION, unusable.reason, unusable.sentence)
        if self._agent_refusal:
            return Refusal(Status.FAILED_PRECONDITION, "AGENT_VERSION", self._agent_refusal)
        return None

    @property
    def fullness(self) -> Refusal | None:
        """Why nothing new is taken while the volume is full; what was taken goes on."""
        disk = self.log.disk_state()
        if not disk.full:
            return None
        sentence = f"The volume is {disk.fraction_used:.0%} full; free some space and try again."
        return Refusal(Status.RESOURCE_EXHAUSTED, "DISK_FULL", sentence)

    def refuse_unusable(self) -> None:
        """Raises what is in the way of any work, if anything is."""
        if problem := self.problem:
            raise problem

    # ------------------------------------------------------------ files out

    async def _watch_outbox(self, session: Session) -> None:
        outbox = self.outbox(session.conversation_id)
        ledger = self.settings.state_dir / "private" / f"{outbox.name}.outbox.json"
        produced: AsyncIterator[tuple[str, Path]] = watch_outbox(outbox, ledger=ledger)
        async for name, path in produced:
            try:
                blob = await asyncio.to_thread(self.blobs.put_file, path, name=name)
            except (OSError, Refusal) as error:
                _log.warning("file not taken from the outbox", name=name, error=str(error))
                continue
            body = FileProduced(blob.blob_id, blob.name, blob.media_type, blob.size, blob.blob_id)
            await session.tell(body)


async def _logged(work: Coroutine[None, None, None], name: str) -> None:
    """One task's failure is told, and does not end the others."""
    try:
        await work
    except Exception as error:
        _log.error("task failed", cause=error, task=name)
