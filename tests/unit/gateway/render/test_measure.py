from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.measure import (
    cluster_start,
    columns,
    index_within,
    is_blank,
    shortened,
    units,
    well_formed,
)


@given(st.text())
def test_units_are_those_of_utf_16(text: str) -> None:
    whole = well_formed(text)
    assert units(whole) == len(whole.encode("utf-16-le")) // 2


@given(st.text(), st.integers(0, 30))
def test_as_much_as_fits_is_taken(text: str, limit: int) -> None:
    index = index_within(text, limit)
    assert units(text[:index]) <= limit
    assert index == len(text) or units(text[: index + 1]) > limit


@given(st.text(), st.integers(1, 30))
def test_a_shortened_text_fits(text: str, limit: int) -> None:
    assert units(shortened(text, limit)) <= limit


@pytest.mark.parametrize(
    "cluster",
    [
        "e\u0301",
        "\U0001f44d\U0001f3fd",
        "\U0001f9d1\u200d\U0001f91d\u200d\U0001f9d1",
        "\u1112\u1161\u11ab",
        "\ud558\u11ab",
        "\u2764\ufe0f",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    ],
)
def test_a_cluster_is_not_cut(cluster: str) -> None:
    text = f"a{cluster}b"
    found = {cluster_start(text, index) for index in range(1, len(cluster) + 1)}
    assert found == {1}
    assert cluster_start(text, len(cluster) + 1) == len(cluster) + 1


def test_flags_are_pairs() -> None:
    text = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"
    assert [cluster_start(text, index) for index in range(5)] == [0, 0, 2, 2, 4]


def test_marks_without_end_are_cut_in_their_middle() -> None:
    assert cluster_start("e" + "\u0301" * 1000, 900) == 900


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("表", 2), ("e\u0301", 1), ("\u200b", 0), ("ｗ", 2), ("—", 1)]
)
def test_columns_are_those_of_a_fixed_width_font(text: str, width: int) -> None:
    assert columns(text) == width


def test_line_ends_and_lone_surrogates_are_mended() -> None:
    assert well_formed("a\r\nb\rc\ud800\U0001f600") == "a\nb\nc\ufffd\U0001f600"


@pytest.mark.parametrize(("text", "blank"), [(" \u200b\n", True), ("", True), (" . ", False)])
def test_what_nobody_sees_is_blank(text: str, blank: bool) -> None:
    assert is_blank(text) is blank
