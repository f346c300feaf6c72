from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.lineedit import Entered, Key, LineEditor, shown, width


def typed(*data: bytes) -> tuple[LineEditor, list[Key | Entered]]:
    editor = LineEditor()
    return editor, [event for part in data for event in editor.feed(part)]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (b"hello", "hello"),
        (b"helo\x1b[Dl", "hello"),
        (b"ello\x01h\x05!", "hello!"),
        (b"\x1b[D\x1b[C\x1b[Ca", "a"),
        (b"ab\x7f\x08c", "c"),
        (b"abc\x1b[D\x1b[D\x1b[3~", "ac"),
        (b"one two three\x17\x17", "one "),
        (b"one two\x15x\x19", "xone two"),
        (b"one two\x01\x1bf\x0b", "one"),
        (b"one two\x1bbx", "one xtwo"),
        ("grüße 鷺".encode(), "grüße 鷺"),
        (b"a\x1b[1;9Zb\x1b[200", "ab"),
        (b"a\x1b[200~b\r\nc\x03\x1b[201~d", "ab\nc\x03d"),
        (b"a\x1b\rb", "a\nb"),
        (b"\x00\x1f\x1d", ""),
    ],
)
def test_keys_edit_the_line(keys: bytes, text: str) -> None:
    editor, events = typed(keys)
    assert (editor.text, events) == (text, [])


def test_enter_finishes_the_line_and_history_brings_it_back() -> None:
    editor, events = typed(b"first\r", b"second\r", b"draft\x1b[A\x1b[A")
    assert events == [Entered("first"), Entered("second")]
    assert editor.text == "first"
    editor.feed(b"\x1b[B")
    assert editor.text == "second"
    editor.feed(b"\x1b[B\x1b[B")
    assert editor.text == "draft"


def test_keys_beyond_editing_are_told() -> None:
    assert typed(b"a\x03\x04\x0c\x7f\x04")[1] == [Key.INTERRUPT, Key.REDRAW, Key.END]


def test_a_paste_of_several_lines_is_one_message() -> None:
    assert typed(b"\x1b[200~one\rtwo\r\x1b[201~\r")[1] == [Entered("one\ntwo\n")]


@given(st.text(), st.lists(st.integers(1, 7)))
def test_it_does_not_matter_where_the_reads_cut(text: str, cuts: list[int]) -> None:
    plain = "".join(c for c in text if c != "\x1b").replace("\r\n", "\n").replace("\r", "\n")
    data = b"\x1b[200~" + plain.encode(errors="replace") + b"\x1b[201~\x1b[Dx\r"
    parts, place = [], 0
    for cut in cuts:
        parts.append(data[place : place + cut])
        place += cut
    assert typed(*parts, data[place:])[1] == typed(data)[1]


@given(st.binary())
def test_no_bytes_break_it(data: bytes) -> None:
    editor, _ = typed(data)
    assert editor.before == editor.text[: len(editor.before)]


def test_what_is_echoed_is_harmless_and_counted_in_columns() -> None:
    assert shown("a\tb\n\x1b[2J\u202e") == "a    b⏎\ufffd[2J\ufffd"
    assert (width("abc"), width("鷺a"), width("e\u0301")) == (3, 3, 1)
