"""A person's text is data: nothing in it is a command, a mention or the end of a paste."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from repobridge_runner.inputs import WORD_JOINER, canonical, paste, trim_end

_PIECES = st.sampled_from(
    [
        *"!/#&?@\\ \n\r\t\x1b\x00\x7f\x85\x9b\u2028\u3000\ufeff\ud800\u2060❯😀",
        *("\x1b[201~", "exit", ":wq", "e\u0301", "@a", "a@b"),
    ]
)
TEXTS = st.lists(st.characters() | _PIECES, max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "hello"),
        ("", ""),
        (" \t\r\n\u00a0\u3000\ufeff", ""),
        ("  indented", "  indented"),
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\tb", "a    b"),
        ("a \t\n\u2003", "a"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\x1b[201~\rb", "a[201~\nb"),
        ("\x00a\x07b\x7fc\x85d\x9be", "abcde"),
        ("\ud83d\ude00 \ud800", "\ufffd\ufffd \ufffd"),
        ("!ls", WORD_JOINER + "!ls"),
        (" !ls", WORD_JOINER + " !ls"),
        ("\n/help", WORD_JOINER + "\n/help"),
        ("\u3000/help", WORD_JOINER + "\u3000/help"),
        ("\x1b/help", WORD_JOINER + "/help"),
        ("#note", WORD_JOINER + "#note"),
        ("&run", WORD_JOINER + "&run"),
        ("?", WORD_JOINER + "?"),
        ("exit", WORD_JOINER + "exit"),
        (" Quit\n", WORD_JOINER + " Quit"),
        (":wq!", WORD_JOINER + ":wq!"),
        ("exit now", "exit now"),
        ("see @file", f"see {WORD_JOINER}@file"),
        ("(@file)", f"({WORD_JOINER}@file)"),
        ("@", WORD_JOINER + "@"),
        ("mail@example.org", "mail@example.org"),
        ("back\\", "back\\"),
    ],
)
def test_a_text_becomes(text: str, expected: str) -> None:
    assert canonical(text) == expected


@given(TEXTS)
@example("e\u0301 \u0301@")
@example("\u0344!")
def test_what_is_canonical_stays_as_it_is(text: str) -> None:
    once = canonical(text)
    assert canonical(once) == once


@given(TEXTS)
def test_nothing_but_text_is_left(text: str) -> None:
    found = canonical(text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", found)
    assert unicodedata.is_normalized("NFC", found)
    assert found == trim_end(found)
    assert not found.lstrip(" \n\u3000\ufeff\u2028").startswith(tuple("!/#&?"))
    assert found.strip().lower() not in ("exit", "quit", ":q", ":q!", ":wq", ":wq!")
    assert not re.search(r"(?<![\w\u2060])@", found)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_text_is_kept_to_the_letter(text: str) -> None:
    assert canonical(text).replace(WORD_JOINER, "") == text.rstrip(" ")


@given(TEXTS)
def test_a_paste_has_one_end_and_enter_sends_it(text: str) -> None:
    prompt = canonical(text)
    data = paste(prompt)
    assert data.startswith(b"\x1b[200~")
    assert data.count(b"\x1b") == 2
    assert data.endswith(b"\x1b[201~")
    inside = data[len(b"\x1b[200~") : -len(b"\x1b[201~")]
    assert not inside.endswith(b"\\")
    assert trim_end(inside.decode()) == prompt
