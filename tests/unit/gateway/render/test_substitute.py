"""What is sent in the place of a message that Discord does not take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.chat import Fault
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.measure import is_blank
from repobridge_gateway.render.pieces import Button, File, Piece, Row
from repobridge_gateway.render.substitute import (
    FILTERED,
    INVALID,
    MISSING_PERMISSIONS,
    NO_HISTORY,
    TOO_LARGE,
    forms,
    substitute,
)

_ROW = Row((Button("Allow once", "rb1:approval:01ARZ3NDEKTSV4RRFFQ69G5FAV:once"),))
_DIFF = File("a.diff", "text/x-diff", b"-a\n")
_PIECE = Piece("Two files.", (_DIFF,), (_ROW,), reply_to="123")
_AS_FILE = "-# Discord did not take this as a message, so it comes as a file."
_TEXT = File("message.md", "text/markdown", b"Two files.")
_CASES = [
    (Fault.REJECTED, 200000, Piece(_AS_FILE, (_TEXT, _DIFF), (_ROW,), reply_to="123")),
    (Fault.REJECTED, INVALID, Piece(_AS_FILE, (_TEXT, _DIFF), (_ROW,))),
    (Fault.REJECTED, NO_HISTORY, Piece("Two files.", (_DIFF,), (_ROW,))),
    (
        Fault.REJECTED,
        TOO_LARGE,
        Piece(
            "Two files.\n-# Discord did not take the files with this, as they are too large:"
            " `a.diff`",
            (),
            (_ROW,),
            reply_to="123",
        ),
    ),
    (
        Fault.FORBIDDEN,
        MISSING_PERMISSIONS,
        Piece(
            "Two files.\n-# The bot may not attach files here, so these are missing: `a.diff`",
            (),
            (_ROW,),
            reply_to="123",
        ),
    ),
    (Fault.FORBIDDEN, 50001, None),
    (Fault.GONE, 10003, None),
    (Fault.LIMITED, 0, None),
    (Fault.UNKNOWN, 0, None),
]


@pytest.mark.parametrize(("fault", "code", "other"), _CASES)
def test_a_message_that_is_refused_comes_in_another_form_where_that_helps(
    fault: Fault, code: int, other: Piece | None
) -> None:
    assert substitute(_PIECE, fault, code) == other


def test_where_there_is_nothing_to_change_nothing_is_tried() -> None:
    assert substitute(Piece("text"), Fault.FORBIDDEN, MISSING_PERMISSIONS) is None
    assert substitute(Piece("text"), Fault.REJECTED, TOO_LARGE) is None
    assert substitute(Piece("text"), Fault.REJECTED, NO_HISTORY) is None
    assert substitute(Piece(files=(_DIFF,)), Fault.REJECTED, INVALID) is None


_FILES = st.lists(st.from_regex(r"[a-z]{1,90}\.md", fullmatch=True), max_size=10, unique=True)


@given(
    content=st.text(st.characters(exclude_categories=["Cs"]), max_size=1000),
    names=_FILES,
    refused=st.sampled_from(
        [(Fault.REJECTED, code) for code in [0, TOO_LARGE, INVALID, NO_HISTORY, *FILTERED]]
        + [(Fault.FORBIDDEN, MISSING_PERMISSIONS)]
    ),
)
def test_whatever_is_sent_instead_is_sendable_and_known_to_a_search(
    content: str, names: list[str], refused: tuple[Fault, int]
) -> None:
    piece = Piece(content, tuple(File(name, "text/markdown", b"x") for name in names), reply_to="1")
    if is_blank(content) and not names:
        return
    other = substitute(piece, *refused)
    assert other is None or check(other) == other
    assert refused[1] == NO_HISTORY or other is None or other in forms(piece)
