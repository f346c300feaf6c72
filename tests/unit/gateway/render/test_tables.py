from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.markdown import for_discord
from repobridge_gateway.render.measure import columns
from repobridge_gateway.render.tables import WIDEST, find, readable

SMALL = """\
| Name | Count | State |
|:-----|------:|:-----:|
| **a** | 1 | `on` |
| 日本 | 1234 | [off](https://e.org) |
| c |
"""


def test_a_small_table_is_aligned_by_what_is_seen() -> None:
    assert for_discord(SMALL) == "\n".join(
        [
            "```",
            "Name  Count  State",
            "────  ─────  ─────",
            "a         1   on",
            "日本   1234   off",
            "c",
            "```",
        ]
    )


def test_a_wide_table_becomes_records_with_their_links_and_code() -> None:
    about = "a long sentence that says what the setting does, and when to change it"
    table = (
        "| Setting | Default | About |\n|---|---|---|\n"
        f"| `limits.rate` | 5 | {about} |\n"
        "| **off** | | [page](https://e.org) |\n"
        f"| | {about} | {about} |\n"
    )
    assert for_discord(table) == "\n".join(
        [
            "- **limits.rate**",
            "  - Default: 5",
            f"  - About: {about}",
            "- **off** · About: [page](https://e.org)",
            "- –",
            f"  - Default: {about}",
            f"  - About: {about}",
        ]
    )


def test_escaped_pipes_are_text() -> None:
    [table] = find(["a | b", "- | -", r"x \| y | z\\|"])
    assert table.rows == (("x | y", "z\\\\"),)


def test_what_is_no_table_stays() -> None:
    for text in ("a | b", "a | b\ntext", "| a | b |\n| - |\n| c | d |", "a\n-", "| a |"):
        assert find(text.split("\n")) == ()
        assert for_discord(text).replace("-", "") is not None
    assert for_discord("a | b\nc | d") == "a | b\nc | d"


def test_a_table_in_a_block_of_code_stays() -> None:
    text = "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```"
    assert for_discord(text) == text


def test_while_more_is_to_come_a_table_at_the_end_stays() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2"
    assert for_discord(table, is_whole=False) == table
    assert for_discord(f"{table}\n\nmore", is_whole=False).startswith("```\na  b\n")


def test_text_around_a_table_is_kept_apart() -> None:
    assert for_discord("before\n| a | b |\n|---|---|\n| 1 | 2 |\nafter") == (
        "before\n```\na  b\n─  ─\n1  2\n```\nafter"
    )


cells = st.text(alphabet=st.characters(exclude_characters="\n\r|\\", codec="utf-8"), max_size=12)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=5))
def test_whatever_is_in_the_cells_a_block_is_a_rectangle_and_closed(rows: list[list[str]]) -> None:
    lines = ["|" + "|".join(row) + "|" for row in (["a", "b", "c"], ["-", "-", "-"], *rows)]
    for table in find(lines):
        told = readable(table).split("\n")
        if told[0] == "```":
            assert told[-1] == "```"
            assert all("```" not in line for line in told[1:-1])
            assert max(map(columns, told)) <= WIDEST
