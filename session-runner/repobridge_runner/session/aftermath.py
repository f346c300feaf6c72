"""After a crash, of the agent or of the runner: what the transcript says decides.

A turn goes on once; if it can't, it is told to be lost. A prompt that was never taken goes back
into the queue. So each message is executed at most once, and always accounted for.
"""

from __future__ import annotations

from dataclasses import replace

from repobridge.session.events import (
    InterruptCause,
    MessageChanged,
    MessageState,
    Notice,
    SessionState,
    Severity,
    TurnError,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
)
from repobridge.telemetry import Logger
from repobridge_runner import store
from repobridge_runner.agents.transcript import judge
from repobridge_runner.journal import Transaction
from repobridge_runner.session.core import Core, Pasting
from repobridge_runner.session.pasting import give_up
from repobridge_runner.session.process import end_agent, start_agent
from repobridge_runner.session.turns import (
    cancel_requests,
    end_turn,
    outcome_of,
    settle_paste,
)
from repobridge_runner.store import MessageRow, OpenTurn
from repobridge_runner.terminal import ExitStatus
from repobridge_runner.turn import Turn

_MOST_EXITS = 3
_log = Logger("repobridge.session")


async def agent_exited(core: Core, status: ExitStatus) -> None:
    """The agent's process ended and nobody had asked for it."""
    core.agent = None
    core.mailbox.disarm()
    core.around.counts.agent_crashes += 1
    how = _how(status)
    _log.warning("agent ended by itself", conversation=core.conversation_id, how=how)
    await cancel_requests(core, note="The agent's process ended.")
    if core.pasting is not None:
        await _settle(core, core.pasting)
    if core.turn is None:
        reason = "Exited" if status.code == 0 else "Crashed"
        await core.enter(SessionState.EXITED, reason=reason, detail=how)
    elif status.out_of_memory:
        sentence = "The agent ran out of memory; the session goes on with the next message."
        error = TurnError("OutOfMemory", sentence)
        await end_turn(core, TurnOutcome.OUT_OF_MEMORY, error=error)
        await core.enter(SessionState.EXITED, reason="OutOfMemory", detail=how)
    else:
        await resume_turn(core, how)
    core.around.touched()


async def _settle(core: Core, cut: Pasting) -> None:
    """A prompt at which the agent ends again and again would go round in circles."""
    await settle_paste(core, cut)
    core.exits_in_paste = 0 if core.turn is not None else core.exits_in_paste + 1
    if core.exits_in_paste == _MOST_EXITS:
        core.exits_in_paste = 0
        await give_up(core, cut.message)


async def resume_turn(core: Core, how: str) -> None:
    """Has the turn that a crash cut go on, once; or tells how it ended, or that it is lost."""
    turn = core.turn
    assert turn is not None
    found = judge(
        core.around.transcript(core.row), offset=turn.transcript_offset, prompt=turn.prompt
    )
    if found.finished:
        await end_turn(core, TurnOutcome.COMPLETED, text=found.text)
        await core.enter(SessionState.EXITED, reason="Crashed", detail=how)
    elif turn.interrupt or found.interrupted:
        await end_turn(core, outcome_of(turn.interrupt or InterruptCause.USER))
        await core.enter(SessionState.EXITED, reason="Crashed", detail=how)
    elif core.row.resume_attempts or not found.prompt_stands:
        sentence = f"The agent's process ended ({how}) and the turn could not go on."
        await end_turn(core, TurnOutcome.LOST, error=TurnError("Crashed", sentence))
        await core.enter(SessionState.EXITED, reason="Crashed", detail=how)
    else:
        turn.is_resuming = True
        core.row = replace(core.row, resume_attempts=core.row.resume_attempts + 1)
        await core.emit(Notice(Severity.WARNING, "AgentRestarted", {"reason": how}))


async def go_on(core: Core, turn: Turn) -> None:
    """Starts the agent of a turn that is to go on, as often as it takes to find room for it.

    Then the transcript is watched, which alone may tell that the turn was taken up.
    """
    if not turn.is_resuming:
        return
    if core.agent is None and await start_agent(core, resume_turn=True, reason="Crashed"):
        core.mailbox.arm(2 * core.around.settings.confirm_seconds, turn)
    if core.agent is not None:
        core.mailbox.tick()


async def not_resumed(core: Core) -> None:
    """The agent is up again and did not go on with the turn.

    It is ended, lest it go on after all: with the next message in the middle of it.
    """
    sentence = "The turn was cut by a crash and did not go on; send the message again."
    await end_turn(core, TurnOutcome.LOST, error=TurnError("NotResumed", sentence))
    await end_agent(core, "NotResumed")


async def recover(core: Core) -> None:
    """Takes up what a former runner left, before anything else happens in the session."""
    left = await core.around.journal.read(
        lambda db: store.messages_in(db, core.conversation_id, MessageState.PASTING)
    )
    for message in left:
        await _recover_paste(core, message)
    queued = await core.around.journal.read(
        lambda db: store.messages_in(db, core.conversation_id, MessageState.QUEUED)
    )
    core.queued = len(queued)
    if core.row.open_turn is not None:
        core.turn = await _recovered_turn(core, core.row.open_turn)
        await core.mailbox.do_later(lambda: _resume_recovered(core))
    elif queued:
        core.mailbox.look()


async def _resume_recovered(core: Core) -> bool:
    if core.turn is not None:
        await resume_turn(core, "the runner was restarted")
    return True


async def _recover_paste(core: Core, message: MessageRow) -> None:
    path = core.around.transcript(core.row)
    found = judge(path, offset=message.transcript_offset, prompt=message.prompt)
    state = MessageState.OPEN if found.prompt_stands else MessageState.QUEUED
    opened = OpenTurn(
        turn_id=message.turn_id,
        origin=TurnOrigin.MESSAGE.name,
        message_id=message.message_id,
        prompt=message.prompt,
        transcript_offset=message.transcript_offset,
        opened_at=core.around.clock(),
    )
    if found.prompt_stands:
        core.row = replace(core.row, open_turn=opened, resume_attempts=0)

    def act(transaction: Transaction) -> None:
        store.update_message(transaction, message.message_id, state=state)
        transaction.append(core.event(MessageChanged(message.message_id, state)))
        if found.prompt_stands:
            told = TurnOpened(TurnOrigin.MESSAGE, message.message_id, message.author)
            transaction.append(replace(core.event(told), turn_id=message.turn_id))
        core.save(transaction)

    await core.around.journal.write(act, essential=True)


async def _recovered_turn(core: Core, opened: OpenTurn) -> Turn:
    message = await core.around.journal.read(lambda db: store.find_message(db, opened.message_id))
    return Turn(
        turn_id=opened.turn_id,
        origin=TurnOrigin[opened.origin],
        message_id=opened.message_id,
        actor=message.author if message else None,
        prompt=opened.prompt,
        transcript_offset=opened.transcript_offset,
        opened_at=opened.opened_at,
        redactor=core.around.redactor,
        keep_blob=core.around.keep_blob,
    )


def _how(status: ExitStatus) -> str:
    if status.out_of_memory:
        return "out of memory"
    return f"signal {status.signal}" if status.signal else f"exit code {status.code}"
