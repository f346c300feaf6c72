from __future__ import annotations

import pytest

from repobridge_gateway.render.balance import balanced
from repobridge_gateway.render.markdown import for_discord

ZERO = "\u200b"


@pytest.mark.parametrize(
    "paragraph",
    [
        "plain text",
        "**strong** *lean* ***both*** ~~gone~~ _lean_ `code`",
        "**over two\nlines** and `code over\ntwo`",
        "[a](https://e.org/a_b) and [1] and [x][y]",
        "snake_case_name and `a * b`",
        r"\* and \` and \[",
        "- **a**\n- **b**",
        "see **https://e.org/a_b**",
        "**a *b* c**",
    ],
)
def test_marks_with_a_partner_stay(paragraph: str) -> None:
    assert balanced(paragraph) == paragraph


@pytest.mark.parametrize(
    ("paragraph", "told"),
    [
        ("2 * 3 and 5* and *x", r"2 \* 3 and 5\* and \*x"),
        ("a ** b", r"a \*\* b"),
        ("**a** and **b", r"**a** and \*\*b"),
        ("a ` b", r"a \` b"),
        ("``a`", r"\`\`a\`"),
        ("~~a and ~b", r"\~\~a and ~b"),
        ("_private and x_y", r"\_private and x_y"),
        ("a__b", r"a\_\_b"),
        ("array[0 and 1]", "array[0 and 1]"),
        ("array[0", r"array\[0"),
        ("<https://e.org and x<5", r"\<https://e.org and x\<5"),
    ],
)
def test_marks_without_one_are_shown(paragraph: str, told: str) -> None:
    assert balanced(paragraph) == told


def test_what_is_code_no_longer_mentions_nobody() -> None:
    assert balanced("```` `<@1>``") == rf"\`\`\`\` \`<{ZERO}@1>\`\`"


def test_a_lone_mark_reaches_no_block_of_code() -> None:
    told = for_discord("Use ` or ** here\n\n```\na ** b ` c <@1>\n```\n**whole**")
    assert told == "Use \\` or \\*\\* here\n\n```\na ** b ` c <@1>\n```\n**whole**"


@pytest.mark.parametrize("many", ["[", "]", "*", "**a", "~~", "_", "_a ", "`a", "<", "< ", "[a"])
def test_much_of_one_mark_takes_no_time(many: str) -> None:
    nested = many * 10_000 + "](**~~_`>" * 10_000
    assert len(balanced(nested)) >= len(nested)
