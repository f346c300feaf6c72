"""Sentences of our own as pieces of the outbox: each has a name, so that it is said once."""

from __future__ import annotations

from collections.abc import Iterable

from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.measure import shortened, well_formed
from repobridge_gateway.render.pieces import MESSAGE_UNITS, Piece, nonce, to_json


def outgoing(name: str, channel_id: str, pieces: Iterable[Piece]) -> tuple[Outgoing, ...]:
    """Rendered pieces, in their order; `name` says for ever what they are."""
    return tuple(
        Outgoing(
            turn=name,
            index=index,
            nonce=nonce(name, index, content=piece.content),
            channel_id=channel_id,
            payload=to_json(check(piece)),
            reply_to=piece.reply_to,
            files=tuple(file.data for file in piece.files),
        )
        for index, piece in enumerate(pieces)
    )


def sentence(name: str, channel_id: str, text: str, *, reply_to: str = "") -> tuple[Outgoing, ...]:
    """One sentence, cut where it is longer than a message: others' words may stand in it."""
    whole = shortened(well_formed(text), MESSAGE_UNITS)
    return outgoing(name, channel_id, [Piece(whole, reply_to=reply_to)])
