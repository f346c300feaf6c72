"""The next message goes into the agent: pasted once, confirmed by the hook, or given back."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from repobridge.session.events import MessageChanged, MessageKind, MessageState
from repobridge_runner import inputs, store
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.agents.transcript import size
from repobridge_runner.journal import Transaction
from repobridge_runner.prompts import Note, make_prompt
from repobridge_runner.session.core import Core, Pasting
from repobridge_runner.session.keys import PAINTED_SECONDS, box_is_empty
from repobridge_runner.session.process import restart
from repobridge_runner.store import MessageRow
from repobridge_runner.terminal import TerminalClosed

_LOST_SECONDS = 1.0
"""By then a prompt is taken, or its Enter was lost."""
NOT_TAKEN = "INPUT_NOT_TAKEN"


async def waiting_messages(core: Core) -> list[MessageRow]:
    """The queue, notes among it, in order."""
    return await core.around.journal.read(
        lambda db: store.messages_in(db, core.conversation_id, MessageState.QUEUED)
    )


def next_of(messages: Sequence[MessageRow]) -> MessageRow | None:
    """The next message that has a turn of its own."""
    turns = (message for message in messages if message.kind is not MessageKind.NOTE)
    return next(turns, None)


async def paste(core: Core, messages: Sequence[MessageRow], message: MessageRow) -> None:
    """Brings a message and the notes before it into the agent, which stands at its prompt."""
    agent = core.agent
    assert agent is not None
    if core.has_draft and not await _draft_is_gone(core, agent):
        return
    notes = [m for m in messages if m.kind is MessageKind.NOTE and m.ordinal < message.ordinal]
    files = await core.around.attachment_paths(message)
    message = replace(
        message,
        state=MessageState.PASTING,
        prompt=_prompt(message, notes=notes, files=files),
        transcript_offset=size(agent.transcript.path),
        turn_id=core.around.new_id(),
        session_id=core.row.session_id,
    )
    # Known to be on its way before the commit: a drain must not be granted in between.
    core.pasting = pasting = Pasting(message, core.hooks)
    try:
        await _commit(core, messages, message, notes)
    except BaseException:
        core.pasting = None
        raise
    try:
        await agent.submit(message.prompt)
    except TerminalClosed:
        return  # its end is reported next, and decides
    core.mailbox.arm(_first_look_seconds(core), pasting)
    if message.kind is MessageKind.AGENT_COMMAND:
        core.mailbox.tick()


async def not_confirmed(core: Core, pasting: Pasting) -> None:
    """No hook said that the prompt was taken: Enter once more, then give it up."""
    agent = core.agent
    if agent is None:
        return
    if core.turn is not None or core.hooks != pasting.hooks_before:
        # Something else runs, and the prompt waits in the agent behind it.
        pasting.hooks_before = core.hooks
        seconds = core.around.settings.confirm_seconds
        core.mailbox.arm(seconds if pasting.looked_at else _first_look_seconds(core), pasting)
        return
    if not pasting.looked_at:
        # Too soon to give up, but not to see that the prompt still stands in the box. A hook that
        # comes while we look may be followed by a dialog, which Enter would approve.
        pasting.looked_at = True
        if not await box_is_empty(agent) and core.hooks == pasting.hooks_before:
            pasting.entered_again = True
            agent.press_enter()
        core.mailbox.arm(core.around.settings.confirm_seconds, pasting)
        return
    if not pasting.entered_again:
        pasting.entered_again = True
        agent.press_enter()
        core.mailbox.arm(core.around.settings.confirm_seconds, pasting)
        return
    is_empty = await agent.clear_input()
    core.pasting = None
    await give_up(core, pasting.message)
    if not is_empty:
        await restart(core, reason=NOT_TAKEN)


def _first_look_seconds(core: Core) -> float:
    return min(_LOST_SECONDS, core.around.settings.confirm_seconds)


async def give_up(core: Core, message: MessageRow) -> None:
    """The agent does not take the message."""
    message_id, rejected = message.message_id, MessageState.REJECTED

    def act(transaction: Transaction) -> None:
        store.update_message(transaction, message_id, state=rejected, reason=NOT_TAKEN)
        transaction.append(core.event(MessageChanged(message_id, rejected, reason=NOT_TAKEN)))

    await core.around.journal.write(act)


def is_prompt(confirmed: str, pasted: str) -> bool:
    """Whether the hook's prompt is the pasted one, maybe behind a draft that stood in the box."""
    confirmed = inputs.trim_end(unicodedata.normalize("NFC", confirmed))
    return confirmed == pasted or (bool(pasted) and confirmed.endswith(pasted))


def _prompt(message: MessageRow, *, notes: Sequence[MessageRow], files: Sequence[Path]) -> str:
    if message.kind is MessageKind.AGENT_COMMAND:
        return message.text
    return make_prompt(
        message.text,
        author=message.author,
        notes=[Note(note.author, note.text) for note in notes],
        files=files,
    )


async def _commit(
    core: Core, messages: Sequence[MessageRow], message: MessageRow, notes: Sequence[MessageRow]
) -> None:
    taken = {message.message_id, *(note.message_id for note in notes)}
    behind = [each for each in messages if each.message_id not in taken]
    core.queued = len(behind)

    def act(transaction: Transaction) -> None:
        found = store.find_message(transaction, message.message_id)
        if found is None or found.state is not MessageState.QUEUED:
            raise Withdrawn
        for note in notes:
            store.update_message(transaction, note.message_id, state=MessageState.ENDED)
            changed = MessageChanged(note.message_id, MessageState.ENDED)
            transaction.append(core.event(changed))
        store.update_message(
            transaction,
            message.message_id,
            state=MessageState.PASTING,
            prompt=message.prompt,
            transcript_offset=message.transcript_offset,
            turn_id=message.turn_id,
            session_id=message.session_id,
        )
        bodies = [MessageChanged(message.message_id, MessageState.PASTING)]
        bodies += [
            MessageChanged(each.message_id, MessageState.QUEUED, position)
            for position, each in enumerate(behind, start=1)
        ]
        for body in bodies:
            transaction.append(core.event(body))

    await core.around.journal.write(act)


class Withdrawn(Exception):
    """The message was taken back, or changed, while it was made ready."""


async def _draft_is_gone(core: Core, agent: ClaudeAgent) -> bool:
    """A person's half-typed line would be sent with the message: wait for it, then clear it."""
    still_for = core.around.clock() - core.typed_at
    if still_for < PAINTED_SECONDS:
        core.mailbox.look_in(PAINTED_SECONDS - still_for)
        return False
    left = core.around.settings.draft_seconds - still_for
    if await box_is_empty(agent):
        core.has_draft = False
        return True
    if left > 0:
        core.mailbox.look_in(left)
        return False
    if not await agent.clear_input():
        await restart(core, reason="DraftCleared")
        return False
    core.has_draft = False
    return True
