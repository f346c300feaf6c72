"""People's messages in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from repobridge_gateway import inbox
from repobridge_gateway.chat import ChatMessage, MessageEdited, Person, Place
from repobridge_gateway.inbox import Effect, InboxState, Kept
from repobridge_gateway.starters import stands_at, starter_id
from repobridge_gateway.store import messages, sends
from repobridge_gateway.store.chatjson import message_from_json
from repobridge_gateway.store.database import Database, Transaction
from repobridge_gateway.store.port import Receipt, Say, Waiting, Work

_WAITING = "bridge = ? AND conversation = ? AND state IN ('HELD', 'READY') AND wish <> 'WITHDRAW'"
# What a gap may still bring was written before, and goes first.
_HEADS = """
    SELECT min(message_id) FROM messages AS m
    WHERE bridge = ? AND state = 'READY' AND wish <> 'WITHDRAW' AND NOT EXISTS (
        SELECT 1 FROM gaps AS g WHERE g.bridge = m.bridge AND g.conversation = m.conversation
        AND g.begins_after < m.message_id)
    AND NOT EXISTS (SELECT 1 FROM openings AS o WHERE o.starter = m.message_id)
    GROUP BY conversation
"""
_WORK = """
    SELECT bridge, sum(waiting), sum(submitted), sum(wishes) FROM (
        SELECT bridge, count(*) AS waiting, 0 AS submitted, 0 AS wishes FROM messages
            WHERE state IN ('HELD', 'READY') GROUP BY bridge
        UNION ALL
        SELECT bridge, 0, count(*), 0 FROM messages WHERE state = 'SUBMITTED' GROUP BY bridge
        UNION ALL
        SELECT bridge, 0, 0, count(*) FROM messages WHERE wish <> 'NONE' GROUP BY bridge
    ) GROUP BY bridge
"""


class SqliteInbox:
    """An `InboxStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def receive(
        self, message: ChatMessage, *, bridge: str, conversation: str, take: bool = False
    ) -> Receipt:
        """Keeps a message once."""

        def act(transaction: Transaction) -> Receipt:
            known = messages.find(transaction, message.message_id)
            if known is not None:
                return Receipt(state=known.state, is_new=False, is_taken=False)
            channel = int(message.place.channel_id)
            is_held = messages.has_gap(transaction, channel)
            is_taken = take and not is_held and _is_free(transaction, bridge, conversation)
            kept = Kept(
                message=message,
                bridge=bridge,
                conversation=conversation,
                state=InboxState.HELD if is_held else InboxState.READY,
                is_taken=is_taken,
            )
            messages.put(transaction, kept)
            if not is_held:
                messages.move_cursor(transaction, channel, int(message.message_id))
            return Receipt(state=kept.state, is_new=True, is_taken=is_taken)

        return await self._database.write(act)

    async def turn_away(
        self, message: ChatMessage, *, bridge: str, conversation: str, reason: str, say: Say = ()
    ) -> bool:
        """Passes a message by for good."""

        def act(transaction: Transaction) -> bool:
            if messages.find(transaction, message.message_id) is not None:
                return False
            channel = int(message.place.channel_id)
            if messages.has_gap(transaction, channel):
                # History will bring it, and is to find that it is over.
                refused = Kept(
                    message=message,
                    bridge=bridge,
                    conversation=conversation,
                    state=InboxState.REFUSED,
                    reason=reason,
                )
                messages.put(transaction, refused)
            else:
                messages.move_cursor(transaction, channel, int(message.message_id))
            sends.add(transaction, bridge, say)
            return True

        return await self._database.write(act)

    async def pass_by(self, channel_id: str, message_id: str) -> None:
        """Moves the cursor over a message that is not for us."""

        def act(transaction: Transaction) -> None:
            if not messages.has_gap(transaction, int(channel_id)):
                messages.move_cursor(transaction, int(channel_id), int(message_id))

        await self._database.write(act)

    async def edit(self, edit: MessageEdited, *, say: Say = ()) -> Effect:
        """Does what an edit can still do."""

        def act(transaction: Transaction) -> Effect:
            starter = messages.find(transaction, starter_id(edit.message_id))
            before = messages.find(transaction, edit.message_id)
            if starter is None:
                return _edit(transaction, before, edit, say=say)
            # It is the thread's now, and so is what is said of it.
            effect = _edit(transaction, before, edit, say=())
            return _more(effect, _edit(transaction, starter, edit, say=say))

        return await self._database.write(act)

    async def delete(self, channel_id: str, message_ids: Sequence[str]) -> Mapping[str, Effect]:
        """Does what deletions can still do."""

        def act(transaction: Transaction) -> dict[str, Effect]:
            return {each: _delete_all(transaction, channel_id, each) for each in message_ids}

        return await self._database.write(act)

    async def next_for(self, bridge: str) -> Sequence[Waiting]:
        """The next message of each conversation, taken."""

        def act(transaction: Transaction) -> list[Waiting]:
            heads = [row[0] for row in transaction.execute(_HEADS, (bridge,))]
            for head in heads:
                transaction.execute(
                    "UPDATE messages SET is_taken = 1 WHERE message_id = ? AND is_taken = 0",
                    (head,),
                )
            found = [messages.find(transaction, str(head)) for head in sorted(heads)]
            return [Waiting(kept=kept, position=1) for kept in found if kept]

        return await self._database.write(act)

    async def queue(self, bridge: str, conversation: str) -> Sequence[Waiting]:
        """The messages of a conversation that its runner does not have."""

        def query(connection: sqlite3.Connection) -> list[Waiting]:
            waiting = messages.select(connection, _WAITING, (bridge, conversation))
            return [
                Waiting(kept=kept, position=position)
                for position, kept in enumerate(waiting, start=1)
            ]

        return await self._database.read(query)

    async def submitted(self, message_id: str, *, version: int, is_duplicate: bool = False) -> bool:
        """Notes that the runner has it."""
        after = await self._change(
            message_id,
            lambda kept: inbox.submitted(kept, version=version, is_duplicate=is_duplicate),
        )
        return after is not None and after.is_order

    async def refuse(self, message_id: str, *, reason: str, say: Say = ()) -> bool:
        """Ends a message that won't be run."""

        def act(transaction: Transaction) -> bool:
            changed = messages.change(
                transaction, message_id, lambda kept: inbox.refused(kept, reason=reason)
            )
            if changed is None or changed[0] == changed[1]:
                return False
            sends.add(transaction, changed[0].bridge, say)
            return True

        return await self._database.write(act)

    async def orders(self, bridge: str) -> Sequence[Kept]:
        """Wishes to carry out."""

        def query(connection: sqlite3.Connection) -> list[Kept]:
            wished = messages.select(connection, "bridge = ? AND wish <> 'NONE'", (bridge,))
            return [kept for kept in wished if kept.is_order]

        return await self._database.read(query)

    async def carried_out(self, message_id: str, *, version: int) -> None:
        """Notes that the runner did it."""
        await self._change(message_id, lambda kept: inbox.carried_out(kept, version=version))

    async def too_late(self, message_id: str, *, say: Say = ()) -> None:
        """Notes that the runner had begun it."""

        def act(transaction: Transaction) -> None:
            changed = messages.change(transaction, message_id, inbox.too_late)
            if changed and changed[1].is_told and not changed[0].is_told:
                sends.add(transaction, changed[0].bridge, say)

        await self._database.write(act)

    async def expired(self, group: int) -> Sequence[Kept]:
        """The messages beyond one gap's catch-up that nobody decided on."""
        return await self._database.read(lambda connection: _expired(connection, group))

    async def offered(self, group: int, *, is_wanted: bool) -> int:
        """Runs them, or lets them be."""

        def act(transaction: Transaction) -> int:
            found = _expired(transaction, group)
            for kept in found:
                messages.save(transaction, kept, inbox.offered(kept, is_wanted=is_wanted))
            return len(found)

        return await self._database.write(act)

    async def find(self, message_id: str) -> Kept | None:
        """A message, whatever became of it."""
        return await self._database.read(lambda connection: messages.find(connection, message_id))

    async def work(self) -> Mapping[str, Work]:
        """The bridges that have any."""
        rows = await self._database.read(lambda connection: connection.execute(_WORK).fetchall())
        return {
            bridge: Work(waiting=waiting, submitted=submitted, wishes=wishes)
            for bridge, waiting, submitted, wishes in rows
        }

    async def unmarked(self, limit: int) -> Sequence[tuple[str, str]]:
        """Messages whose receipt is not shown yet."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT message_json FROM messages WHERE is_unmarked = 1"
                " ORDER BY message_id LIMIT ?",
                (limit,),
            ).fetchall()
        )
        return [stands_at(message_from_json(row[0])) for row in rows]

    async def marked(self, message_ids: Sequence[str]) -> None:
        """Notes that it is shown, or can't be."""

        def act(transaction: Transaction) -> None:
            for each in message_ids:
                transaction.execute(
                    "UPDATE messages SET is_unmarked = 0 WHERE message_id IN (?, ?)",
                    (int(each), int(starter_id(each))),
                )

        await self._database.write(act)

    async def end_channel(self, channel_id: str) -> Sequence[str]:
        """Forgets what waits for a channel that is gone."""
        return await self._database.write(lambda transaction: _end(transaction, channel_id))

    async def _change(self, message_id: str, step: Callable[[Kept], Kept]) -> Kept | None:
        changed = await self._database.write(
            lambda transaction: messages.change(transaction, message_id, step)
        )
        return changed[1] if changed else None


def _is_free(transaction: Transaction, bridge: str, conversation: str) -> bool:
    """Whether a new message would be the next of its conversation."""
    place = (bridge, conversation)
    waiting = transaction.one(f"SELECT 1 FROM messages WHERE {_WAITING} LIMIT 1", place)
    gap = transaction.one("SELECT 1 FROM gaps WHERE bridge = ? AND conversation = ?", place)
    return waiting is None and gap is None


def _expired(source: Transaction | sqlite3.Connection, group: int) -> list[Kept]:
    return messages.select(source, "gap_id = ? AND state = 'EXPIRED'", (group,))


def _edit(
    transaction: Transaction, before: Kept | None, edit: MessageEdited, *, say: Say
) -> Effect:
    if before is None:
        return Effect.UNKNOWN
    after, effect = inbox.edited(before, content=edit.content, attachments=edit.attachments)
    messages.save(transaction, before, after)
    if effect is Effect.TOO_LATE:
        sends.add(transaction, before.bridge, say)
    return effect


def _more(one: Effect, other: Effect) -> Effect:
    """What came of one act on a message and on the first prompt of its thread."""
    return Effect.WISHED if Effect.WISHED in {one, other} else other


def _delete_all(transaction: Transaction, channel_id: str, message_id: str) -> Effect:
    """Deletes a message, and what its thread began with."""
    effect = _delete(transaction, channel_id, message_id)
    starter = messages.find(transaction, starter_id(message_id))
    if starter is None:
        return effect
    return _more(effect, _delete(transaction, starter.message.place.channel_id, starter.message_id))


def _delete(transaction: Transaction, channel_id: str, message_id: str) -> Effect:
    before = messages.find(transaction, message_id)
    if before is not None:
        after, effect = inbox.deleted(before)
        messages.save(transaction, before, after)
        return effect
    gap = transaction.one(
        "SELECT bridge, conversation FROM gaps WHERE channel = ?", (int(channel_id),)
    )
    if gap is None:
        return Effect.UNKNOWN
    # A page of history may have been read before this, and be kept after it.
    nothing = ChatMessage(
        message_id=message_id,
        place=Place(guild_id="", channel_id=channel_id),
        author=Person(user_id="", display_name=""),
        content="",
    )
    bridge, conversation = gap
    kept = Kept(
        message=nothing, bridge=bridge, conversation=conversation, state=InboxState.WITHDRAWN
    )
    messages.put(transaction, kept)
    return Effect.DONE


def _end(transaction: Transaction, channel_id: str) -> Sequence[str]:
    channel = int(channel_id)
    gone = messages.select(transaction, "channel = ? AND state IN ('HELD', 'READY')", (channel,))
    for kept in gone:
        messages.save(transaction, kept, inbox.deleted(kept)[0])
    transaction.execute("DELETE FROM openings WHERE thread = ?", (channel,))
    transaction.execute("DELETE FROM gaps WHERE channel = ?", (channel,))
    transaction.execute("DELETE FROM cursors WHERE channel = ?", (channel,))
    transaction.execute("DELETE FROM lives WHERE channel = ?", (channel,))
    return sends.lose_channel(transaction, channel, reason="ChannelGone")
