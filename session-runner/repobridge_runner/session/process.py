"""The agent's process in a session: it starts, fails to start, and is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from repobridge.errors import Refusal
from repobridge.session.events import (
    MessageChanged,
    MessageState,
    Phase,
    SessionChanged,
    SessionState,
    TurnError,
    TurnOutcome,
)
from repobridge.telemetry import Logger
from repobridge_runner import store
from repobridge_runner.agents import base
from repobridge_runner.agents.claude import AgentStartFailed
from repobridge_runner.child import LaunchFailed
from repobridge_runner.journal import Transaction
from repobridge_runner.prompts import make_system_prompt
from repobridge_runner.session import asking
from repobridge_runner.session.core import Core
from repobridge_runner.session.turns import cancel_requests, end_turn, settle_paste

_log = Logger("repobridge.session")


async def start_agent(core: Core, *, resume_turn: bool = False, reason: str = "") -> bool:
    """Brings the agent up; False where there is no room, or it failed and that was told."""
    if not await core.around.make_room(core.conversation_id):
        return False
    remembers = bool(core.row.last_activity)
    if remembers and not resume_turn and not core.around.settings.agent.resume:
        core.next_generation()
        remembers = False
    phase = Phase.RESUMING if remembers else Phase.STARTING
    await core.enter(SessionState.STARTING, phase=phase, reason=reason)
    try:
        place = await core.around.place(core.row)
        core.row = replace(core.row, working_dir=str(place.path), branch=place.branch)
        agent = core.around.new_agent(core.conversation_id)
        await agent.start(await _start(core, resume_turn), asking.handler_of(core, agent))
    except Exception as error:
        await _start_failed(core, _failure(error))
        return False
    core.agent = agent
    core.has_draft = False
    core.failed_starts = 0
    core.around.counts.agent_starts += 1
    core.row = replace(core.row, last_activity=core.around.clock())
    state = SessionState.BUSY if core.turn else SessionState.READY
    await core.enter(state, resumed=remembers)
    return True


async def end_agent(core: Core, reason: str) -> bool:
    """Ends the open turn and then the agent's process; False when there is none."""
    if core.turn is not None:
        await cancel_requests(core, note="The session was stopped.")
        await end_turn(core, TurnOutcome.INTERRUPTED)
    agent, core.agent = core.agent, None
    if agent is None:
        return False
    await core.enter(SessionState.STOPPING, reason=reason)
    await agent.stop(grace_seconds=core.around.settings.shutdown_grace_seconds)
    if core.pasting is not None:
        await settle_paste(core, core.pasting)
        if core.turn is not None:
            await end_turn(core, TurnOutcome.INTERRUPTED)
    await core.enter(SessionState.EXITED, reason=reason)
    core.around.touched()
    return True


async def restart(core: Core, *, reason: str = "Restarted") -> bool:
    """Ends the agent; it is brought up again at once."""
    await end_agent(core, reason)
    core.is_wanted = True
    return True


async def shut_down(core: Core, *, turn_seconds: float, grace_seconds: float) -> None:
    """Gives an open turn a while to end, then ends the agent; an open turn stays open on disk.

    The next runner goes on with it.
    """
    core.is_stopping = True
    if core.turn is not None and not core.requests.waiting:
        try:
            async with asyncio.timeout(turn_seconds):
                await core.turn.closed.wait()
        except TimeoutError:
            pass
    agent, core.agent = core.agent, None
    if agent is not None:
        await agent.stop(grace_seconds=grace_seconds)
    if core.turn is not None:
        # A clean end is no crash: the next runner has its one try all the same.
        core.row = replace(core.row, resume_attempts=0)
        await core.around.journal.write(core.save, essential=True)


async def _start(core: Core, resume_turn: bool) -> base.Start:
    settings = core.around.settings.agent
    session_id = core.row.session_id
    rules = await core.around.journal.read(lambda db: store.get_meta(db, "rules"))
    fork_of = await core.around.journal.read(lambda db: store.fork_of(db, session_id))
    outbox = core.around.outbox(core.conversation_id)
    return base.Start(
        session_id=session_id,
        directory=Path(core.row.working_dir),
        model=core.model,
        permission_mode=core.mode,
        system_prompt=make_system_prompt(settings.append_system_prompt, outbox=outbox),
        environment={"REPOBRIDGE_OUTBOX": str(outbox)},
        rules=[*_own_rules(core), *(rules or [])],
        resume_turn=resume_turn,
        fork_of=fork_of,
    )


def _failure(error: Exception) -> AgentStartFailed | LaunchFailed | Refusal:
    """Whatever keeps an agent from starting is told; nobody waits for it in silence."""
    if isinstance(error, AgentStartFailed | LaunchFailed | Refusal):
        return error
    if isinstance(error, OSError):
        return AgentStartFailed("StartFailed", f"The agent could not be started: {error}.")
    _log.error("agent start broke", cause=error)
    sentence = f"The agent could not be started ({type(error).__name__}); the log says more."
    return AgentStartFailed("InternalError", sentence)


def _own_rules(core: Core) -> list[Mapping[str, str]]:
    """What nobody is asked for: to read what people attached, and to fill the outbox."""
    inbox = core.around.inbox(core.conversation_id)
    outbox = core.around.outbox(core.conversation_id)
    # Two slashes at the start mean the root; one, the directory of the settings.
    return [
        {"toolName": "Read", "ruleContent": f"/{inbox}/**"},
        {"toolName": "Edit", "ruleContent": f"/{outbox}/**"},
    ]


async def _start_failed(core: Core, error: AgentStartFailed | LaunchFailed | Refusal) -> None:
    """One more try for an agent that came up and fell; then what waits for it is turned away."""
    reason = "LaunchFailed" if isinstance(error, LaunchFailed) else error.reason
    told = error.message if isinstance(error, Refusal) else str(error)
    sentence = core.around.redactor.text(told)
    core.is_wanted = False
    is_awaited = core.turn is not None or core.queued > 0
    core.failed_starts = core.failed_starts + 1 if is_awaited else 0
    _log.error("agent did not start", conversation=core.conversation_id, reason=reason)
    if not is_awaited or (core.failed_starts == 1 and isinstance(error, AgentStartFailed)):
        await core.enter(SessionState.EXITED, reason=reason, detail=sentence)
        core.mailbox.look()
        return
    core.failed_starts = 0
    if core.turn is not None:
        await end_turn(core, TurnOutcome.LOST, error=TurnError(reason, sentence))
    await _reject_queue(core, reason, sentence)


async def _reject_queue(core: Core, reason: str, sentence: str) -> None:
    messages = await core.around.journal.read(
        lambda db: store.messages_in(db, core.conversation_id, MessageState.QUEUED)
    )
    core.to(SessionState.EXITED)
    core.queued = 0
    told = f"{reason}: {sentence}"
    rejected = MessageState.REJECTED
    events = [
        core.event(SessionChanged(SessionState.EXITED, reason=reason, detail=sentence)),
        *(core.event(MessageChanged(m.message_id, rejected, reason=told)) for m in messages),
    ]

    def act(transaction: Transaction) -> None:
        for message in messages:
            store.update_message(transaction, message.message_id, state=rejected, reason=told)
        core.save(transaction, events)

    await core.around.journal.write(act)
