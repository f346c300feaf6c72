from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.render import wording
from repobridge_gateway.render.filenames import (
    language_of,
    media_type_of,
    numbered,
    safe_file_name,
    suffix_of,
)
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.measure import units
from repobridge_gateway.render.pieces import File, Piece
from repobridge_gateway.render.summary import summary


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0s"),
        (0.44, "400ms"),
        (1.04, "1s"),
        (9.96, "10s"),
        (10.4, "10s"),
        (75, "1m15s"),
        (3725.2, "1h2m5s"),
        (-3, "0s"),
    ],
)
def test_durations_are_told_as_finely_as_they_matter(seconds: float, told: str) -> None:
    assert wording.elapsed(seconds) == told


def test_counts_and_sizes_have_their_nouns() -> None:
    assert [wording.count(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert [wording.size(n) for n in (1, 1023, 1 << 11, 25 << 20)] == [
        "1 byte",
        "1,023 bytes",
        "2 KiB",
        "25.0 MiB",
    ]


@pytest.mark.parametrize(
    ("usage", "facts"),
    [
        (None, []),
        (ev.UsageUpdated(), []),
        (ev.UsageUpdated("m", 900, 99), ["900 tokens in, 99 out"]),
        (ev.UsageUpdated("m", 99_960, 1_250_000), ["100k tokens in, 1.2M out"]),
        (ev.UsageUpdated("m", cost_micro_usd=4_200), ["$0.0042"]),
        (ev.UsageUpdated("m", cost_micro_usd=1_239_000), ["$1.24"]),
        (ev.UsageUpdated("m", context_used=50, context_window=200), ["context 25%"]),
    ],
)
def test_usage_is_told_as_far_as_it_is_known(usage: ev.UsageUpdated, facts: list[str]) -> None:
    assert wording.usage_facts(usage) == facts


def test_a_person_is_a_name_without_marks() -> None:
    assert wording.person(None) == ""
    assert wording.person(ev.Actor("42", "")) == "42"
    assert wording.person(ev.Actor("42", "*A* @here" + "x" * 100)) == (
        "\\*A\\* @\u200bhere" + "x" * 50 + "…"
    )


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.py", "a.py"),
        ("src/a.py", "a.py"),
        ("..\\..\\evil.exe", "evil.exe"),
        (".env", "env"),
        ("Å b?.TXT", "A_b_.TXT"),
        ("\u202egpj.exe", "gpj.exe"),
        ("表", "file.txt"),
        ("", "file.txt"),
        ("../..", "file.txt"),
        ("x" * 300 + ".py", "x" * 97 + ".py"),
        ("noend" * 100, ("noend" * 100)[:100]),
    ],
)
def test_names_of_files_are_safe(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


@given(st.lists(st.text(), max_size=10))
def test_any_names_can_be_sent_together(names: list[str]) -> None:
    taken: set[str] = set()
    files = tuple(File(numbered(safe_file_name(name), taken), "", b"") for name in names)
    check(Piece("x", files))


def test_names_tell_of_the_content() -> None:
    assert [language_of(name) for name in ("a.py", "b.TS", "c", "d.zzz")] == [
        "python",
        "typescript",
        "",
        "",
    ]
    assert [suffix_of(language) for language in ("python", "Rust", "go", "console", "q", "")] == [
        "py",
        "rs",
        "go",
        "log",
        "txt",
        "txt",
    ]
    assert [media_type_of(name) for name in ("a.md", "a.diff", "a.html")] == [
        "text/markdown",
        "text/x-diff",
        "text/plain",
    ]


LONG = "One sentence about it. " * 40


@pytest.mark.parametrize(
    ("markdown", "told"),
    [
        ("", ""),
        ("# A\n\nB\n\nC", "# A\n\nB\n\nC"),
        ("# A\n\nB\n\n```\ncode\n```\n\nabout it", "# A\n\nB"),
        ("```\ncode\n```\nB", "B"),
        ("# A\n\n```\ncode\n```\n\nB", "# A\n\nB"),
        (f"B\n\n{LONG}", "B"),
        ("```\nonly\n```", ""),
    ],
)
def test_a_summary_is_the_beginning_without_code(markdown: str, told: str) -> None:
    assert summary(markdown, limit=300) == told


def test_a_long_first_paragraph_is_cut_after_a_sentence() -> None:
    told = summary(f"# A\n\n{LONG}", limit=400)
    assert told.startswith("# A\n\nOne sentence about it. ")
    assert told.endswith("about it. …")
    assert units(told) <= 400
