"""How what an agent asks, and each of its turns, is known by buttons: rows, names and messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from repobridge.session import events as ev
from repobridge_gateway.clicks import Asked, make_ulid
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.render.decisions import render_approval
from repobridge_gateway.render.pieces import Piece
from repobridge_gateway.render.questions import render_question
from repobridge_gateway.speech import outgoing

Request = ev.ApprovalRequested | ev.QuestionAsked
TURN, LOST = "turn", "lost"
"""The kinds of rows that no request of an agent's stands behind: Stop, and Continue or Discard."""
_UNREADABLE = Piece(
    "The agent asks for something that can't be shown here any more; answer it in the attached"
    " terminal."
)


class RequestEars(Protocol):
    """Who wants to know what a log says of requests, news or not."""

    def asked(self, uid: str, request: Request) -> None:
        """A bridge's agent asks."""

    def resolved(self, uid: str, resolved: ev.RequestResolved, *, at: float) -> None:
        """Nobody needs to decide that any more; what says so is in the store."""


def make_key(uid: str, name: str, *, at: float) -> str:
    """The ULID of a turn or a request, the same each time that its event is read."""
    digest = hashlib.sha256(f"{uid} {name}".encode()).digest()
    return make_ulid(at, random=lambda count: digest[:count])


def make_turn(
    uid: str, event: ev.Event, *, channel_id: str, kind: str, message_id: str, nonce: str = ""
) -> Asked:
    """The row for the buttons of a turn, which knows the message that asked for it."""
    return Asked(
        ulid=make_key(uid, f"{kind} {event.turn_id}", at=event.at),
        request_id=f"{kind} {event.turn_id} {message_id}",
        bridge=uid,
        conversation=event.conversation_id,
        kind=kind,
        channel_id=channel_id,
        nonce=nonce or f"{kind} {event.turn_id}",
    )


def turn_of(asked: Asked) -> tuple[str, str]:
    """The turn of a row of `make_turn`, and the message that asked for it (empty: none)."""
    _, turn_id, message_id = asked.request_id.split(" ", 2)
    return turn_id, message_id


def row_of_turn(rows: Iterable[Asked], turn_id: str) -> Asked | None:
    """The row behind the Stop button of a turn."""
    turns = (each for each in rows if each.kind == TURN)
    return next((each for each in turns if turn_of(each)[0] == turn_id), None)


def make_request(
    uid: str, request: Request, event: ev.Event, *, channel_id: str, whole_input: str = ""
) -> tuple[Outgoing, Asked]:
    """The message that asks, and its row; `whole_input` is the text of its blob."""
    key = make_key(uid, request.request_id, at=event.at)
    if isinstance(request, ev.QuestionAsked):
        kind, piece = "question", render_question(request, key=key)
    else:
        kind = "plan" if request.kind is ev.RequestKind.PLAN else "approval"
        is_readable = bool(whole_input) or not request.input_blob_id
        piece = _UNREADABLE
        if is_readable:
            piece = render_approval(request, key=key, whole_input=whole_input)
    (said,) = outgoing(f"request {request.request_id}", channel_id, [piece])
    return said, Asked(
        ulid=key,
        request_id=request.request_id,
        bridge=uid,
        conversation=event.conversation_id,
        kind=kind,
        channel_id=channel_id,
        nonce=said.nonce,
        input_sha256=getattr(request, "input_sha256", ""),
        expires_at=request.expires_at,
    )
