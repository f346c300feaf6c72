from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_cli.detach import DetachKeys


@pytest.mark.parametrize(
    ("parts", "passed", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"a\x1cb"], b"a", True),
        ([b"a\x10\x11b"], b"a", True),
        ([b"a\x10", b"\x11"], b"a", True),
        ([b"\x10x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"\x11"], b"\x11", False),
        ([b"\x10"], b"", False),
    ],
)
def test_keys_detach_and_all_else_passes(parts: list[bytes], passed: bytes, detached: bool) -> None:
    keys = DetachKeys()
    assert b"".join(map(keys.feed, parts)) == passed
    assert keys.detached is detached


@given(st.binary().filter(lambda data: b"\x1c" not in data and b"\x10" not in data))
def test_other_bytes_are_never_changed(data: bytes) -> None:
    assert DetachKeys().feed(data) == data
