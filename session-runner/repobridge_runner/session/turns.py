"""Turns open and end here, each end told exactly once; and a paste that was cut is settled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace

from repobridge.errors import Refusal
from repobridge.session.events import (
    Body,
    InterruptCause,
    MessageChanged,
    MessageState,
    RequestOutcome,
    SessionChanged,
    SessionState,
    TurnEnded,
    TurnError,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
    Via,
)
from repobridge.telemetry import Logger
from repobridge_runner import store
from repobridge_runner.agents.base import UsageSeen
from repobridge_runner.agents.transcript import judge, size
from repobridge_runner.journal import Transaction
from repobridge_runner.session.core import Core, CostDue, Pasting
from repobridge_runner.store import MessageRow, OpenTurn
from repobridge_runner.turn import Turn

_log = Logger("repobridge.session")
_FINAL_BYTES = 256 << 10
_COST_SECONDS = 1.0
_DRAINED = "The session was put to sleep before the turn ended; write again to go on."
_COUNTED = ("input", "output", "cache_read", "cache_write")


def outcome_of(cause: InterruptCause) -> TurnOutcome:
    """How an interrupted turn ends."""
    return TurnOutcome.BUDGET if cause is InterruptCause.BUDGET else TurnOutcome.INTERRUPTED


async def open_turn(
    core: Core,
    origin: TurnOrigin,
    *,
    prompt_id: str = "",
    message: MessageRow | None = None,
    prompt: str = "",
) -> None:
    """Opens the turn of a message, or one that the agent or a person in the terminal began."""
    if message is not None:
        prompt, transcript_offset = message.prompt, message.transcript_offset
    else:
        transcript_offset = size(core.around.transcript(core.row))
    core.turn = turn = Turn(
        turn_id=message.turn_id if message else core.around.new_id(),
        origin=origin,
        message_id=message.message_id if message else "",
        actor=message.author if message else None,
        prompt=prompt,
        transcript_offset=transcript_offset,
        opened_at=core.around.clock(),
        redactor=core.around.redactor,
        keep_blob=core.around.keep_blob,
        prompt_ids={prompt_id} if prompt_id else set(),
    )
    core.last_turn = turn.opened_at
    core.row = replace(core.row, open_turn=record_of(turn), resume_attempts=0)
    core.to(SessionState.BUSY)
    events = [
        core.event(SessionChanged(SessionState.BUSY)),
        core.event(TurnOpened(origin, turn.message_id, turn.actor, core.model)),
    ]

    def act(transaction: Transaction) -> None:
        if message is not None:
            store.update_message(transaction, message.message_id, state=MessageState.OPEN)
            changed = MessageChanged(message.message_id, MessageState.OPEN)
            transaction.append(core.event(changed))
        core.save(transaction, events)

    await core.around.journal.write(act, essential=True)


async def end_turn(
    core: Core, outcome: TurnOutcome, *, text: str = "", error: TurnError | None = None
) -> None:
    """Tells the end of the open turn, once, with all that is still open in it."""
    turn = core.turn
    assert turn is not None
    if outcome is TurnOutcome.INTERRUPTED and turn.interrupt is InterruptCause.DRAIN:
        error = TurnError("Drained", _DRAINED)
    await cancel_requests(core, via=Via.TERMINAL, is_answered=True)
    if outcome is not TurnOutcome.COMPLETED:
        _read_last_usage(core, turn)
    bodies: list[Body] = list(turn.close())
    if turn.usage.model:
        bodies.append(turn.usage)
    bodies.append(_ended(core, outcome, text, error))
    events = [core.event(body) for body in bodies]
    message_ended = core.event(MessageChanged(turn.message_id, MessageState.ENDED))
    core.forget(turn)
    core.mailbox.disarm()
    core.last_turn = core.last_activity = core.around.clock()
    core.row = replace(
        core.row,
        open_turn=None,
        usage=_added(core.row.usage, turn),
        last_activity=core.last_turn,
    )
    if core.agent is not None:
        core.to(SessionState.READY)
        events.append(core.event(SessionChanged(SessionState.READY)))
        core.cost_of = CostDue(turn.turn_id, turn.usage, core.around.clock() + _COST_SECONDS)
        core.mailbox.tick()

    def act(transaction: Transaction) -> None:
        if turn.message_id:
            store.update_message(transaction, turn.message_id, state=MessageState.ENDED)
            transaction.append(message_ended)
        core.save(transaction, events)

    await core.around.journal.write(act, essential=True)
    core.around.counts.turns[outcome] += 1
    core.around.turn_ended(core.row)
    core.around.touched()
    if core.pasting is not None:
        core.mailbox.arm(core.around.settings.confirm_seconds, core.pasting)


async def goes_on(core: Core, turn: Turn) -> None:
    """The agent took up the turn that a crash had cut."""
    if not turn.is_resuming:
        return
    turn.is_resuming = False
    core.mailbox.disarm()
    await core.emit(TurnOpened(TurnOrigin.RESUME, turn.message_id, turn.actor, core.model))


async def cancel_requests(
    core: Core, *, via: Via = Via.POLICY, note: str = "", is_answered: bool = False
) -> None:
    """Ends every request that still waits.

    To an agent that is about to be interrupted or ended a no would be an answer like any other: it
    would go on with its turn before the key or the signal reaches it.
    """
    for pending in tuple(core.requests.waiting.values()):
        await core.requests.close(
            pending, RequestOutcome.CANCELLED, via, note=note, is_answered=is_answered
        )


async def settle_paste(core: Core, pasting: Pasting) -> None:
    """The agent is gone in mid-paste: its transcript tells whether it took the prompt."""
    core.pasting = None
    message = pasting.message
    path = core.around.transcript(core.row)
    found = judge(path, offset=message.transcript_offset, prompt=message.prompt)
    if found.prompt_stands:
        await open_turn(core, TurnOrigin.MESSAGE, message=message)
        return

    def act(transaction: Transaction) -> None:
        store.update_message(transaction, message.message_id, state=MessageState.QUEUED, turn_id="")
        changed = MessageChanged(message.message_id, MessageState.QUEUED, 1)
        transaction.append(core.event(changed))

    await core.around.journal.write(act, essential=True)


def record_of(turn: Turn) -> OpenTurn:
    """What must be known of a turn after a crash."""
    return OpenTurn(
        turn_id=turn.turn_id,
        origin=turn.origin.name,
        message_id=turn.message_id,
        prompt=turn.prompt,
        transcript_offset=turn.transcript_offset,
        opened_at=turn.opened_at,
    )


def _read_last_usage(core: Core, turn: Turn) -> None:
    if core.agent is None:
        return
    for seen in core.agent.transcript.read():
        if isinstance(seen, UsageSeen):
            turn.used(seen)


def _ended(core: Core, outcome: TurnOutcome, text: str, error: TurnError | None) -> TurnEnded:
    final = core.around.redactor.text(text)
    final, blob_id = _kept(core, final)
    return TurnEnded(
        outcome=outcome,
        error=error,
        final_markdown=final,
        final_blob_id=blob_id,
        background_tasks=core.background_tasks,
        session_crons=core.session_crons,
    )


def _kept(core: Core, final: str) -> tuple[str, str]:
    """The text as it goes into the event, or the id of its blob; cut where the disk has no room."""
    encoded = final.encode("utf-8", "replace")
    if len(encoded) <= _FINAL_BYTES:
        return final, ""
    try:
        return "", core.around.keep_blob(final, "answer.md")
    except Refusal as refusal:
        _log.warning("answer cut", conversation=core.conversation_id, error=str(refusal))
        return encoded[:_FINAL_BYTES].decode("utf-8", "ignore"), ""


def _added(before: Mapping[str, int], turn: Turn) -> dict[str, int]:
    used = dataclasses.asdict(turn.usage)
    sums = {name: before.get(name, 0) + used[name] for name in _COUNTED}
    context_used = used["context_used"] or before.get("context_used", 0)
    return {**before, **sums, "context_used": context_used}
