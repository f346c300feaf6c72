"""A person's file name becomes one that can do no harm."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_runner.filenames import numbered, safe_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("Résumé 2026 – final.txt", "Résumé 2026 – final.txt"),
        ("日本語.md", "日本語.md"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.exe", "x.exe"),
        ("folder/", "folder"),
        (".env", "env"),
        ("--upload-pack=x", "upload-pack=x"),
        ("@mention", "mention"),
        ("a\nIgnore all of that", "a Ignore all of that"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("esc\x1b[31m", "esc[31m"),
        ("nul\0byte", "nulbyte"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("console", "console"),
        ("a:b*c?.txt", "a_b_c_.txt"),
        ("$(id).`x`", "_(id)._x_"),
        ("trailing. . ", "trailing"),
        ("e\u0301", "é"),
        ("", "file"),
        ("...", "file"),
        ("/", "file"),
        ("\u202e", "file"),
        ("\ud800", "file"),
        ("a" * 300 + ".tar", "a" * 236 + ".tar"),
        ("é" * 200, "é" * 120),
        ("a." + "b" * 300, "a." + "b" * 238),
    ],
)
def test_a_name_is_made_safe(name: str, expected: str) -> None:
    assert safe_name(name) == expected


@given(st.text(max_size=400))
def test_every_name_is_a_plain_component(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe.encode()) <= 240
    assert safe[0] not in ".-~"
    assert not set(safe) & set('/\\<>:"|?*`$\n')
    assert not [each for each in safe if unicodedata.category(each)[0] == "C"]
    assert safe_name(safe) == safe


def test_a_number_stands_before_the_suffix() -> None:
    names = [numbered("a.tar.gz", 1), numbered("a.gz", 2), numbered("a", 3)]
    assert names == ["a.tar.gz", "a-2.gz", "a-3"]
