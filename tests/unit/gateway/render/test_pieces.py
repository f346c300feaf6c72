from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.limits import Unsendable, check, check_modal
from repobridge_gateway.render.pieces import (
    Button,
    ButtonStyle,
    File,
    Modal,
    Option,
    Piece,
    Row,
    Select,
    TextInput,
    from_json,
    nonce,
    to_json,
)

FULL = Piece(
    content="Hello \U0001f600",
    files=(File("a.md", "text/markdown", b"# a"), File("b.diff", "text/x-diff", b"\x00\xff")),
    components=(
        Row(
            (Button("Yes", "rb1:x:1", ButtonStyle.SUCCESS), Button("No", "rb1:x:2", disabled=True))
        ),
        Row(
            (Select("rb1:x:3", (Option("A", "a", "first", True), Option("B", "b")), "Pick", 0, 2),)
        ),
    ),
    reply_to="1123581321345589144",
    suppress_embeds=False,
)

words = st.text(max_size=20)
buttons = st.builds(Button, words, words, st.sampled_from(ButtonStyle), st.booleans())
options = st.lists(st.builds(Option, words, words, words, st.booleans()), max_size=3).map(tuple)
selects = st.builds(
    Select, words, options, words, st.integers(0, 9), st.integers(0, 9), st.booleans()
)
rows = st.one_of(
    st.builds(Row, st.lists(buttons, max_size=3).map(tuple)),
    st.builds(Row, st.tuples(selects)),
)
files = st.builds(File, words, words, st.binary(max_size=20))
whole_pieces = st.builds(
    Piece,
    words,
    st.lists(files, max_size=3).map(tuple),
    st.lists(rows, max_size=3).map(tuple),
    words,
    st.booleans(),
)


@given(whole_pieces)
def test_a_piece_survives_its_row(piece: Piece) -> None:
    assert from_json(to_json(piece), [file.data for file in piece.files]) == piece


def test_a_stored_piece_is_plain_json_without_its_files() -> None:
    stored = json.loads(to_json(FULL))
    assert [file["name"] for file in stored["files"]] == ["a.md", "b.diff"]
    assert "data" not in stored["files"][0]
    assert check(from_json(json.dumps(stored), [b"# a", b"\x00\xff"])) == FULL


def test_other_content_than_was_stored_is_refused() -> None:
    with pytest.raises(ValueError, match=r"b\.diff is not what it was"):
        from_json(to_json(FULL), [b"# a", b"other"])
    with pytest.raises(ValueError, match="shorter"):
        from_json(to_json(FULL), [b"# a"])


def test_a_nonce_tells_turn_place_and_content_apart() -> None:
    found = {
        nonce("t1", 0, content="x"),
        nonce("t1", 1, content="x"),
        nonce("t2", 0, content="x"),
        nonce("t1", 0, content="y"),
        nonce("t", 10, content="x"),
    }
    assert len(found) == 5
    assert nonce("t1", 0, content="x") == nonce("t1", 0, content="x")
    assert all(len(each) == 24 and int(each, 16) for each in found)


BUTTON = Button("Yes", "id")


def _select(**changes: Any) -> tuple[Row, ...]:
    select = Select("id", (Option("A", "a"), Option("B", "b")))
    return (Row((dataclasses.replace(select, **changes),)),)


@pytest.mark.parametrize(
    ("piece", "why"),
    [
        (Piece("x" * 2001), "2001 units of 2000"),
        (Piece("\U0001f600" * 1001), "2002 units of 2000"),
        (Piece(" \n\u200b"), "nothing in the message is seen"),
        (Piece("a\ud800"), "lone surrogate"),
        (Piece("x", reply_to="abc"), "no message to reply to"),
        (Piece("x", tuple(File(f"{n}.txt", "", b"") for n in range(11))), "11 files"),
        (Piece("x", (File("a.txt", "", b""), File("a.txt", "", b""))), "two files"),
        (Piece("x", (File("a.txt", "", bytes((10 << 20) + 1)),)), "10485761 bytes"),
        (
            Piece("x", tuple(File(f"{n}.txt", "", bytes(9 << 20)) for n in range(3))),
            "more than 25165824 bytes together",
        ),
        (Piece("x", (File("../a", "", b""),)), "no name"),
        (Piece("x", (File("a" * 101, "", b""),)), "101 units of 100"),
        (Piece("x", components=(Row((BUTTON,)),) * 6), "6 rows"),
        (Piece("x", components=(Row((BUTTON,)),) * 2), "two custom_id"),
        (Piece("x", components=(Row((BUTTON,) * 6),)), "6 buttons"),
        (Piece("x", components=(Row(()),)), "0 buttons"),
        (Piece("x", components=(Row((Button("x" * 81, "a"),)),)), "81 units of 80"),
        (Piece("x", components=(Row((Button("", "a"),)),)), "label is empty"),
        (Piece("x", components=(Row((Button("x", "a" * 101),)),)), "101 units of 100"),
        (Piece("x", components=_select(options=())), "0 options"),
        (Piece("x", components=_select(options=(Option("A", "a"),) * 2)), "two options"),
        (Piece("x", components=_select(max_values=3)), "1 to 3 of 2"),
        (Piece("x", components=_select(min_values=2)), "2 to 1 of 2"),
        (Piece("x", components=_select(placeholder="x" * 151)), "151 units"),
        (
            Piece(
                "x",
                components=_select(
                    options=(Option("A", "a", default=True), Option("B", "b", default=True))
                ),
            ),
            "2 chosen of at most 1",
        ),
    ],
)
def test_what_discord_refuses_is_never_stored(piece: Piece, why: str) -> None:
    with pytest.raises(Unsendable, match=why):
        check(piece)


def test_a_full_message_passes() -> None:
    most = Piece(
        "x" * 2000,
        tuple(File(f"{n}.txt", "", b"") for n in range(10)),
        tuple(
            Row(tuple(Button("x" * 80, f"{row}-{n}" + "-" * 96) for n in range(5)))
            for row in range(5)
        ),
    )
    assert check(most) is most
    assert check(Piece(files=(File("only.md", "", b""),))).content == ""


@pytest.mark.parametrize(
    ("modal", "why"),
    [
        (Modal("id", "x" * 46, (TextInput("a", "A"),)), "46 units of 45"),
        (Modal("id", "T", ()), "0 inputs"),
        (Modal("id", "T", tuple(TextInput(str(n), "A") for n in range(6))), "6 inputs"),
        (Modal("id", "T", (TextInput("a", "A"), TextInput("a", "B"))), "two custom_id"),
        (Modal("id", "T", (TextInput("a", "x" * 46),)), "46 units of 45"),
        (Modal("id", "T", (TextInput("a", "A", max_units=4001),)), "4001 units"),
        (Modal("id", "T", (TextInput("a", "A", value="x" * 11, max_units=10),)), "11 units of 10"),
    ],
)
def test_a_modal_that_discord_refuses_is_refused(modal: Modal, why: str) -> None:
    with pytest.raises(Unsendable, match=why):
        check_modal(modal)
