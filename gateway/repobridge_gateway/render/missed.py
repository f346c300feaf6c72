"""What is said of messages that were missed for so long, or are so many, that they are not run."""

from __future__ import annotations

from repobridge_gateway.inbox import CATCH_UP_MESSAGES
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import CustomId, Kind, Verb, make_custom_id
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.pieces import Button, ButtonStyle, Piece, Row

_KEY_DIGITS = 26


def render_missed(count: int, *, group: int) -> Piece:
    """The one notice of a gap, with a button to run what was not."""
    are = "is" if count == 1 else "are"
    them = "it" if count == 1 else "them"
    text = (
        f"{wording.NOTICED} {wording.count(count, 'message')} from while I was away {are} not run:"
        f" more than a day old, or beyond the first {CATCH_UP_MESSAGES}."
    )
    key = f"{group:0{_KEY_DIGITS}d}"
    run = make_custom_id(Kind.MISSED, key, Verb.RUN)
    discard = make_custom_id(Kind.MISSED, key, Verb.DISCARD)
    buttons = (
        Button(f"Run {them}", run, ButtonStyle.PRIMARY),
        Button(f"Leave {them}", discard),
    )
    return check(Piece(text, components=(Row(buttons),)))


def group_of(clicked: CustomId) -> int | None:
    """The group of messages that a click is about; None for a click on anything else."""
    if clicked.kind is not Kind.MISSED or not clicked.key.isdecimal():
        return None
    return int(clicked.key)
