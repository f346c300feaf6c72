"""What a viewer gets begins where a terminal can begin to read, and nothing is lost unsaid."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_runner.viewer import Dropped, Ring, Viewer

PIECES = st.lists(
    st.one_of(
        st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace")),
        st.binary(max_size=8),
        st.sampled_from(
            [
                b"\x1b[38;5;12m", b"\x1b[?2004h", b"\x1b[2J\x1b[H", b"\x1b]0;title\x07",
                b"\x1b]8;;https://example.org/\x1b\\", b"\x1bPqdata\x07more\x1b\\", b"\x1b(B",
                b"\x1b7", b"\x1b#8", b"\x1b_apc\x18", b"\x1b[1\n2m", b"\x1b", b"\x1b[", b"\x1b]",
                "❯ été 你好 🙂".encode(), b"\x1b]0;un\x1b[1mfinished",
            ]
        ),
    ),
    max_size=30,
)  # fmt: skip


def safe_places(data: bytes) -> set[int]:
    """Where a terminal can begin, byte by byte: the plain reading of ECMA-48 and of xterm."""
    places = set()
    state = "ground"
    for index, byte in enumerate(data):
        in_character = 0x80 <= byte < 0xC0
        if byte == 0x1B or (state == "ground" and not in_character):
            places.add(index)
        if byte == 0x1B:
            state = "escape"
        elif byte in {0x18, 0x1A}:
            state = "ground"
        elif state == "escape":
            kinds = {ord("["): "csi", ord("]"): "osc", **dict.fromkeys(b"PX^_", "string")}
            state = kinds.get(byte, "intermediate" if 0x20 <= byte < 0x30 else "ground")
        elif state == "intermediate":
            state = "intermediate" if 0x20 <= byte < 0x30 else "ground"
        elif state == "csi":
            state = "csi" if byte < 0x40 else "ground"
        elif state == "osc" and byte == 0x07:
            state = "ground"
    return places | {len(data)}


@given(pieces=PIECES, limit=st.integers(1, 64))
def test_a_ring_begins_at_a_safe_place_and_ends_with_the_newest(
    pieces: list[bytes], limit: int
) -> None:
    ring = Ring(limit)
    for piece in pieces:
        ring.append(piece)
    everything = b"".join(pieces)

    content = ring.content()

    start = len(everything) - len(content)
    assert everything.endswith(content)
    assert len(content) <= limit
    # Four stray continuation bytes are no character's: there is no better place.
    stray = all(0x80 <= byte < 0xC0 for byte in everything[max(0, start - 3) : start + 1])
    assert start in safe_places(everything) or stray or start == 0


@given(pieces=PIECES, limit=st.integers(1, 64), takes=st.sets(st.integers(0, 30)))
def test_what_is_taken_and_what_is_said_to_be_lost_add_up(
    pieces: list[bytes], limit: int, takes: set[int]
) -> None:
    ring = Ring(limit)
    position = 0
    everything = b"".join(pieces)
    for index, piece in enumerate([*pieces, b""]):
        ring.append(piece)
        if index in takes or index == len(pieces):
            lost, data = ring.take()
            position += lost
            assert everything[position : position + len(data)] == data
            position += len(data)
    assert position == len(everything)


@pytest.mark.parametrize(
    ("stream", "limit", "kept"),
    [
        ("é".encode() * 4, 7, "ééé".encode()),
        ("🙂".encode() * 3, 11, "🙂🙂".encode()),
        (b"abc\x1b[31mred", 6, b"red"),
        (b"\x1b]0;a long title\x07text", 9, b"text"),
        (b"\x1b]0;a long title\x1b\\text", 9, b"text"),
        (b"\x1b]0;never ended", 5, b""),
        (b"\x1b]0;never ended\x1b[1mx", 9, b"\x1b[1mx"),
        (b"plain text", 4, b"text"),
        (b"short", 100, b"short"),
    ],
)
def test_a_ring_skips_the_rest_of_what_was_cut(stream: bytes, limit: int, kept: bytes) -> None:
    whole, one_by_one = Ring(limit), Ring(limit)
    whole.append(stream)
    for byte in stream:
        one_by_one.append(bytes([byte]))

    assert (whole.content(), one_by_one.content()) == (kept, kept)


def make_viewer(first: bytes = b"past", buffer_bytes: int = 100) -> Viewer:
    return Viewer(first=first, buffer_bytes=buffer_bytes, on_close=lambda _: None)


async def test_a_viewer_gets_the_past_first_then_what_comes_until_the_end() -> None:
    viewer = make_viewer()
    viewer.feed(b"one ")
    viewer.feed(b"two")
    got = [await anext(viewer), await anext(viewer)]
    waiting = asyncio.ensure_future(anext(viewer))
    await asyncio.sleep(0)
    viewer.feed(b"three")
    got.append(await waiting)
    viewer.end()

    got += [item async for item in viewer]

    assert got == [b"past", b"one two", b"three"]


async def test_an_empty_past_is_still_the_first_item() -> None:
    viewer = make_viewer(first=b"")
    viewer.end()

    assert [item async for item in viewer] == [b""]


async def test_a_slow_viewer_learns_how_much_it_lost_and_goes_on_at_a_safe_place() -> None:
    viewer = make_viewer(first=b"", buffer_bytes=10)
    viewer.feed(b"0123456789\x1b[31m")
    viewer.feed(b"red text")
    viewer.end()

    assert [item async for item in viewer] == [b"", Dropped(15), b"red text"]


async def test_closing_ends_an_iteration_that_waits() -> None:
    viewer = make_viewer()
    await anext(viewer)
    waiting = asyncio.ensure_future(anext(viewer))
    await asyncio.sleep(0)

    viewer.close()

    with pytest.raises(StopAsyncIteration):
        await waiting
