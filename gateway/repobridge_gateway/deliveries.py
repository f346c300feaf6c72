"""What comes of an event of a bridge's log: what is said in the channel, and what it ends.

Reads and renders only: a delivery is kept in one commit with the event's place in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from repobridge.errors import Refusal
from repobridge.session import events as ev
from repobridge_gateway.blobtext import blob_text
from repobridge_gateway.clicks import Asked
from repobridge_gateway.limits.ledger import Spending, Used
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.render.answer import left_out_lines, render_answer
from repobridge_gateway.render.filenames import safe_file_name
from repobridge_gateway.render.pieces import FILE_BYTES, File, Piece
from repobridge_gateway.render.turn_view import TurnView
from repobridge_gateway.requested import (
    LOST,
    TURN,
    Request,
    make_key,
    make_request,
    make_turn,
    row_of_turn,
    turn_of,
)
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.speech import outgoing, sentence
from repobridge_gateway.store.port import ClickStore, Delivery, InboxStore

_UNREADABLE = "(The answer can't be read any more.)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event, and what it is read with."""

    event: ev.Event
    client: SessionClient
    """Reads the log's blobs."""
    channel_id: str
    """Where its conversation is heard."""
    threshold: int
    """Answers that are longer come as a file."""
    view: TurnView | None
    """The turn that it belongs to, with the event in it."""
    guild_id: str = ""
    """Of the bridge's channel; empty where nobody has told."""


class Deliveries:
    """Makes the deliveries of one bridge."""

    def __init__(self, uid: str, clicks: ClickStore, inbox: InboxStore) -> None:
        self._uid = uid
        self._clicks = clicks
        self._inbox = inbox

    async def of(self, told: Told) -> Delivery | None:
        """What comes of an event, where anything does; raises a Refusal of the log or the store."""
        made: Delivery | None = None
        match told.event.body:
            case ev.TurnOpened() as opened:
                made = await self._opened(told, opened)
            case ev.TurnEnded() as ended if told.view is not None:
                made = await self._ended(told, ended, told.view)
            case (ev.ApprovalRequested() | ev.QuestionAsked()) as request:
                made = await self._asked(told, request)
            case ev.RequestResolved() as resolved:
                made = self._make(told, resolved=(resolved.request_id,))
            case ev.MessageChanged() as changed:
                made = self._message(told, changed)
            case ev.FileProduced() as file if told.view is None:
                made = await self._file(told, file)
            case ev.UsageUpdated() as usage if told.event.turn_id:
                made = self._make(told, spending=await self._spending(told, usage))
        return made

    async def _opened(self, told: Told, opened: ev.TurnOpened) -> Delivery:
        # A turn that goes on after a restart is opened twice, and keeps its button.
        asked = await self._row_of(told.event.turn_id) or make_turn(
            self._uid,
            told.event,
            channel_id=told.channel_id,
            kind=TURN,
            message_id=opened.message_id,
        )
        return self._make(told, asked=(asked,))

    async def _ended(self, told: Told, ended: ev.TurnEnded, view: TurnView) -> Delivery:
        row = await self._row_of(view.turn_id)
        # A gateway that was killed behind the turn's beginning may read no more than its end.
        asked_by = turn_of(row)[1] if row is not None else ""
        if view.opened is not None:
            asked_by = view.opened.message_id
        said = await self._answer(told, ended, view, asked_by=asked_by)
        lost = make_turn(
            self._uid,
            told.event,
            channel_id=told.channel_id,
            kind=LOST,
            message_id=turn_of(row)[1] if row is not None else asked_by,
            nonce=said[-1].nonce,
        )
        is_lost = ended.outcome is ev.TurnOutcome.LOST
        return self._make(
            told,
            pieces=said,
            turns_over=(view.turn_id,),
            ended=(asked_by,),
            asked=(lost,) if is_lost else (),
            resolved=(row.request_id,) if row is not None else (),
        )

    async def _answer(
        self, told: Told, ended: ev.TurnEnded, view: TurnView, *, asked_by: str
    ) -> tuple[Outgoing, ...]:
        """The pieces of a turn's answer, with the files that it made."""
        final = ended.final_markdown
        if ended.final_blob_id:
            final = await blob_text(told.client, ended.final_blob_id) or view.text or _UNREADABLE
        files, left_out = await _read(told.client, view.files)
        pieces = render_answer(
            view,
            ended,
            threshold=told.threshold,
            reply_to=asked_by if asked_by.isdigit() else "",
            final_text=final,
            key=make_key(self._uid, f"{LOST} {view.turn_id}", at=told.event.at),
            files=files,
            left_out=left_out,
        )
        return outgoing(view.turn_id, told.channel_id, pieces)

    async def _spending(self, told: Told, usage: ev.UsageUpdated) -> Spending:
        """What a turn has used, and whose it is; what it cost is told after its end."""
        turn_id = told.event.turn_id
        row = await self._clicks.turn(self._uid, turn_id)
        message_id = turn_of(row)[1] if row is not None else ""
        kept = await self._inbox.find(message_id) if message_id.isdigit() else None
        return Spending(
            guild_id=kept.message.place.guild_id if kept is not None else told.guild_id,
            bridge=self._uid,
            turn=turn_id,
            user_id=kept.message.asker.user_id if kept is not None else "",
            model=usage.model,
            used=Used(
                input=usage.input,
                output=usage.output,
                cache_read=usage.cache_read,
                cache_write=usage.cache_write,
                micro_usd=usage.cost_micro_usd,
            ),
            message_id=kept.message_id if kept is not None else "",
        )

    async def _row_of(self, turn_id: str) -> Asked | None:
        return row_of_turn(await self._clicks.open_requests(self._uid), turn_id)

    async def _asked(self, told: Told, request: Request) -> Delivery:
        whole = await blob_text(told.client, getattr(request, "input_blob_id", ""))
        said, asked = make_request(
            self._uid, request, told.event, channel_id=told.channel_id, whole_input=whole
        )
        return self._make(told, pieces=(said,), asked=(asked,))

    def _message(self, told: Told, changed: ev.MessageChanged) -> Delivery | None:
        """What becomes of a person's message, besides its turn."""
        name = changed.message_id
        match changed.state:
            case ev.MessageState.WITHDRAWN:
                return self._make(told, withdrawn=(name,))
            case ev.MessageState.ENDED:
                return self._make(told, ended=(name,))
            case ev.MessageState.REJECTED:
                reply = name if name.isdigit() else ""
                text = (
                    f"That was not run: {why_rejected(changed) or 'the agent could not take it.'}"
                )
                said = sentence(f"rejected {name}", told.channel_id, text, reply_to=reply)
                return self._make(told, pieces=said, ended=(name,))
        return None

    async def _file(self, told: Told, file: ev.FileProduced) -> Delivery:
        """A file that came outside of any turn."""
        files, left_out = await _read(told.client, [file])
        named = tuple(
            replace(each, name=safe_file_name(each.name, fallback="file")) for each in files
        )
        piece = Piece("\n".join(left_out_lines(left_out)), files=named)
        name = f"file {told.event.log_id} {told.event.sequence}"
        return self._make(told, pieces=outgoing(name, told.channel_id, [piece]))

    def _make(
        self,
        told: Told,
        *,
        pieces: tuple[Outgoing, ...] = (),
        ended: tuple[str, ...] = (),
        withdrawn: tuple[str, ...] = (),
        asked: tuple[Asked, ...] = (),
        resolved: tuple[str, ...] = (),
        turns_over: tuple[str, ...] = (),
        spending: Spending | None = None,
    ) -> Delivery:
        # What other clients submit is not in the inbox, and has names of another kind.
        return Delivery(
            bridge=self._uid,
            cursor=ev.Cursor(told.event.log_id, told.event.sequence),
            pieces=pieces,
            ended=tuple(filter(str.isdigit, ended)),
            withdrawn=tuple(filter(str.isdigit, withdrawn)),
            asked=asked,
            resolved=resolved,
            turns_over=turns_over,
            spending=spending,
        )


async def _read(
    client: SessionClient, produced: Iterable[ev.FileProduced]
) -> tuple[list[File], list[ev.FileProduced]]:
    """The files that can be sent, and those that are too large or not kept any more."""
    files, left_out = list[File](), list[ev.FileProduced]()
    for each in produced:
        data: bytes | None = None
        if each.size <= FILE_BYTES:
            try:
                data = await client.download(each.blob_id)
            except Refusal as refusal:
                if refusal.reason != "UNKNOWN_BLOB":
                    raise
        if data is None:
            left_out.append(each)
        else:
            files.append(File(each.name, each.media_type, data))
    return files, left_out


def why_rejected(changed: ev.MessageChanged) -> str:
    """What the agent's side says of a message that it did not take."""
    return changed.reason.partition(": ")[2] or changed.reason
