"""Messages come into a session's queue, are changed there, and are taken back."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from repobridge.errors import Refusal, Status
from repobridge.session.events import Event, MessageChanged, MessageState, MessageStatus
from repobridge_runner import checks, store
from repobridge_runner.journal import Transaction
from repobridge_runner.runner import Runner
from repobridge_runner.session import Session
from repobridge_runner.store import MessageRow

OWN_MODEL = "own"
"""What stands for the model that this runner is set to use."""
DEFAULT_MODEL = "default"
"""What the model of an agent is called that was told of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message as a client submits it."""

    message: MessageRow
    allowed_models: tuple[str, ...] = ()


async def submit(runner: Runner, submission: Submission) -> tuple[MessageStatus, bool]:
    """Queues a message; a repeat of its id changes nothing. Returns whether it was one."""
    message = submission.message
    try:
        session = _admit(runner, submission)
    except Refusal:
        # A repeat hears what became of its message, whatever is refused by now.
        known = await runner.journal.read(lambda db: _status(db, message.message_id))
        if known is None:
            raise
        return known, True

    def act(tx: Transaction) -> MessageStatus | None:
        if store.find_message(tx, message.message_id) is not None:
            return None  # submitted before
        waiting = store.messages_in(tx, message.conversation_id, MessageState.QUEUED)
        if len(waiting) >= runner.settings.queue_length:
            raise _queue_full(len(waiting))
        store.put_session(tx, session.row)
        store.insert_message(tx, message)
        position = len(waiting) + 1
        tx.append(
            Event(
                MessageChanged(message.message_id, MessageState.QUEUED, position),
                message.conversation_id,
                session.row.session_id,
                session.row.generation,
            )
        )
        return MessageStatus(
            message.message_id, MessageState.QUEUED, position, session.row.session_id
        )

    runner.submitting += 1
    try:
        status = await runner.journal.write(act)
    finally:
        runner.submitting -= 1
    if status is None:
        found = await runner.journal.read(lambda db: _status(db, message.message_id))
        assert found is not None
        return found, True
    session.note_queued()
    return status, False


async def amend(runner: Runner, message_id: str, text: str) -> MessageStatus:
    """Replaces the text of a message that still waits; raises Refusal."""

    def act(tx: Transaction) -> MessageStatus:
        waiting = _must_wait(store.find_message(tx, message_id), message_id)
        message = checks.message(
            replace(waiting, text=text), commands=runner.settings.agent.commands
        )
        store.update_message(tx, message_id, text=message.text)
        return _status_of(tx, message)

    return await runner.journal.write(act)


async def withdraw(runner: Runner, message_id: str) -> MessageStatus:
    """Takes back a message that still waits; raises Refusal."""

    def act(tx: Transaction) -> MessageStatus:
        found = store.find_message(tx, message_id)
        if found is not None and found.state is MessageState.WITHDRAWN:
            return _status_of(tx, found)
        message = _must_wait(found, message_id)
        store.update_message(tx, message_id, state=MessageState.WITHDRAWN)
        session = runner.sessions[message.conversation_id]
        envelope = Event(
            MessageChanged(message_id, MessageState.WITHDRAWN),
            message.conversation_id,
            session.row.session_id,
            session.row.generation,
        )
        tx.append(envelope)
        waiting = store.messages_in(tx, message.conversation_id, MessageState.QUEUED)
        for position, other in enumerate(waiting, start=1):
            if other.ordinal > message.ordinal:
                body = MessageChanged(other.message_id, MessageState.QUEUED, position)
                tx.append(replace(envelope, body=body))
        return _status_of(tx, replace(message, state=MessageState.WITHDRAWN))

    status = await runner.journal.write(act)
    for session in runner.sessions.values():
        session.look()
    return status


def _admit(runner: Runner, submission: Submission) -> Session:
    message = submission.message
    _refuse_new_work(runner)
    session = runner.ensure(message.conversation_id)
    _check_model(runner, session, submission)
    _check_attachments(runner, message)
    return session


def _refuse_new_work(runner: Runner) -> None:
    if runner.is_stopping:
        raise Refusal(Status.UNAVAILABLE, "STOPPING", "The runner is stopping.", {})
    if runner.drain.is_active:
        sentence = "The runner is being put to sleep; submit again when it is awake."
        raise Refusal(Status.UNAVAILABLE, "DRAINING", sentence, {})
    runner.refuse_unusable()
    if fullness := runner.fullness:
        raise fullness


def _check_model(runner: Runner, session: Session, submission: Submission) -> None:
    own = runner.settings.agent.model or DEFAULT_MODEL
    model = session.row.model or own
    allowed = tuple(own if each == OWN_MODEL else each for each in submission.allowed_models)
    if allowed and model not in allowed:
        runs = "the agent's default model" if model == DEFAULT_MODEL else model
        raise Refusal(
            Status.FAILED_PRECONDITION,
            "MODEL_NOT_ALLOWED",
            f"This session runs {runs}, and you may use {', '.join(allowed)}.",
            {"model": model},
        )


def _check_attachments(runner: Runner, message: MessageRow) -> None:
    if message.attachments:
        runner.attachments.lookup(message.conversation_id, message.message_id, message.attachments)


def _queue_full(count: int) -> Refusal:
    return Refusal(
        Status.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        f"{count} messages wait in this session already; wait for a turn to end, or withdraw one.",
        {"queued": str(count)},
    )


def _must_wait(message: MessageRow | None, message_id: str) -> MessageRow:
    if message is None:
        raise Refusal(
            Status.NOT_FOUND, "UNKNOWN_MESSAGE", f"There is no message {message_id} here.", {}
        )
    if message.state is not MessageState.QUEUED:
        raise Refusal(
            Status.FAILED_PRECONDITION,
            "ALREADY_PASTED",
            f"The message has reached the agent already ({message.state.name.lower()}).",
            {"state": message.state.name},
        )
    return message


def _status(source: Transaction | sqlite3.Connection, message_id: str) -> MessageStatus | None:
    message = store.find_message(source, message_id)
    return _status_of(source, message) if message else None


def _status_of(source: Transaction | sqlite3.Connection, message: MessageRow) -> MessageStatus:
    position = 0
    if message.state is MessageState.QUEUED:
        waiting = store.messages_in(source, message.conversation_id, MessageState.QUEUED)
        position = 1 + sum(other.ordinal < message.ordinal for other in waiting)
    return MessageStatus(
        message.message_id, message.state, position, message.session_id, message.reason
    )
