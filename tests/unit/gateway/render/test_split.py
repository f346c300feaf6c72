from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.fences import scan
from repobridge_gateway.render.measure import is_blank, units
from repobridge_gateway.render.split import split, split_parts, tidied

PARAGRAPH = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. "

pieces = st.one_of(
    st.sampled_from(
        [
            "\n", "\n\n", " ", "```", "```py", "~~~", "````", "`", "> ", ">>> ", "- ", "1. ",
            "# ", "**", "*", "_", "~~", "||", "[text](https://example.org/a_(b))", "| a | b |",
            "|---|---|", "  - ", "word " * 20, "x" * 90, "-# ", "\t", "\r\n", "🧑‍🤝‍🧑",
            "e" + "\u0301" * 30, "שלום", "\u202e", "\ud800", "\U0001f1e9\U0001f1ea", "`code here`",
            "한국어",
        ]
    ),
    st.text(max_size=40),
)  # fmt: skip
texts = st.lists(pieces, max_size=60).map("".join)
limits = st.integers(240, 500)


def is_balanced(text: str) -> bool:
    return not scan(text)[-1].leaves_open


@given(texts, limits)
def test_every_message_can_be_sent(text: str, limit: int) -> None:
    for each in split(text, limit=limit):
        assert units(each) <= limit
        assert not is_blank(each)
        assert is_balanced(each)
        each.encode("utf-8")


@given(texts, limits)
def test_nothing_is_lost_but_white_space_at_the_cuts(text: str, limit: int) -> None:
    whole = tidied(text)
    parts = split_parts(text, limit=limit)
    told = "".join(part.skipped + part.body for part in parts)
    assert whole.startswith(told)
    left = whole[len(told) :]
    assert is_blank(left.replace("`", "").replace("~", "").replace(">", ""))
    marked = [part for part in parts if part.before or part.after]
    assert marked == [] or len(parts) > 1 or not is_balanced(whole)


@given(texts, limits)
def test_a_message_that_came_out_is_not_split_again(text: str, limit: int) -> None:
    for each in split(text, limit=limit):
        assert [part.split() for part in split(each, limit=limit)] == [each.split()]


@given(texts)
def test_a_short_balanced_text_stays_as_it_is(text: str) -> None:
    whole = tidied(text)
    if units(whole) <= 2000 and is_balanced(whole):
        assert split(text) == (() if is_blank(whole) else (_trimmed(whole),))


def _trimmed(text: str) -> str:
    lines = text.rstrip().split("\n")
    while is_blank(lines[0]):
        del lines[0]
    return "\n".join(lines)


def test_paragraphs_are_kept_together() -> None:
    first, second = PARAGRAPH * 3, PARAGRAPH * 4
    assert split(f"{first}\n\n{second}", limit=400) == (first.strip(), second.strip())


def test_a_block_of_code_goes_on_in_the_next_message_in_its_language() -> None:
    code = [f"line_{number} = {number}" for number in range(40)]
    text = "Look:\n\n```python\n" + "\n".join(code) + "\n```\nDone."
    parts = split(text, limit=300)
    assert parts[0].startswith("Look:\n\n```python\nline_0 = 0\n")
    assert parts[0].endswith("\n```")
    assert all(part.startswith("```python\nline_") for part in parts[1:])
    assert parts[-1].endswith("line_39 = 39\n```\nDone.")
    assert [line for part in parts for line in part.split("\n") if line.startswith("line_")] == code


@pytest.mark.parametrize(
    ("opening", "again", "closing"),
    [
        ("~~~sh", "~~~sh", "~~~"),
        ("`````md", "`````md", "`````"),
        ("> ```js", "> ```js", "> ```"),
        ("  ```js", "  ```js", "  ```"),
        ("1. ```js", "   ```js", "   ```"),
    ],
)
def test_every_kind_of_fence_is_closed_and_opened_again(
    opening: str, again: str, closing: str
) -> None:
    quote = "> " if opening.startswith(">") else ""
    code = "\n".join(f"{quote}call({number});" for number in range(40))
    first, *others = split(f"{opening}\n{code}\n{closing}", limit=300)
    assert first.startswith(f"{opening}\n{quote}call(0);\n")
    assert first.endswith(f"\n{closing}")
    assert all(part.startswith(f"{again}\n") and part.endswith(f"\n{closing}") for part in others)


def test_a_longer_fence_holds_the_shorter_one() -> None:
    text = "````\n" + "```\ninner\n```\n" * 30 + "````"
    for part in split(text, limit=300):
        assert part.startswith("````\n")
        assert part.endswith("\n````")


def test_a_block_of_code_that_fits_the_next_message_is_not_cut() -> None:
    code = "```\n" + "x = 1\n" * 40 + "```"
    assert split(f"{PARAGRAPH * 2}\n{code}", limit=300) == ((PARAGRAPH * 2).strip(), code)


def test_list_items_stay_whole_where_they_can() -> None:
    items = [f"- {PARAGRAPH}\n  {PARAGRAPH.strip()}" for _ in range(5)]
    parts = split("\n".join(items), limit=400)
    assert parts == tuple("\n".join(items[at : at + 2]) for at in (0, 2, 4))


def test_a_heading_is_not_left_behind() -> None:
    text = f"{PARAGRAPH * 3}\n\n## Next\n\n{PARAGRAPH * 2}"
    assert split(text, limit=300) == (
        (PARAGRAPH * 3).strip(),
        f"## Next\n\n{PARAGRAPH * 2}".strip(),
    )


def test_rows_of_a_table_are_not_cut() -> None:
    rows = [f"| {number} | {'cell ' * 10}|" for number in range(20)]
    parts = split("\n".join(rows), limit=300)
    assert [row for part in parts for row in part.split("\n")] == rows


def test_quotes_go_on() -> None:
    line = "> " + PARAGRAPH * 8
    assert all(part.startswith("> Lorem") for part in split(line, limit=300))
    block = ">>> " + "\n".join([PARAGRAPH] * 8)
    assert all(part.startswith(">>> Lorem") for part in split(block, limit=300))


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    parts = split(PARAGRAPH * 20, limit=300)
    assert all(part.endswith("tempor.") for part in parts)


def test_words_are_kept_where_there_is_no_sentence() -> None:
    parts = split("wordy " * 200, limit=300)
    assert set(" ".join(parts).split()) == {"wordy"}


def test_links_code_and_emphasis_are_not_cut_where_that_can_be_avoided() -> None:
    span = "[a link of four words](https://example.org/some/page)"
    for whole in (
        span,
        "`git log -p -- a b c`",
        "**very bold words here**",
        "*lean words go here*",
    ):
        text = " ".join(["and"] * 3 + [whole]) * 1
        parts = split(" ".join([text] * 40), limit=300)
        assert len(parts) > 1
        assert sum(part.count(whole) for part in parts) == 40


def test_clusters_are_not_cut() -> None:
    family = "\U0001f9d1\u200d\U0001f91d\u200d\U0001f9d1"
    parts = split(family * 200, limit=300)
    assert all(len(part) % len(family) == 0 for part in parts)
    flags = split("\U0001f1e9\U0001f1ea" * 200, limit=301)
    assert all(len(part) % 2 == 0 for part in flags)
    syllables = split("\u1112\u1161\u11ab" * 200, limit=301)
    assert all(len(part) % 3 == 0 for part in syllables)


def test_what_follows_a_cut_does_not_turn_into_a_block() -> None:
    parts = split("# " * 400, limit=300)
    assert all(part.startswith("\u200b") for part in parts[1:])


def test_lone_surrogates_are_replaced() -> None:
    assert split("a\ud800b\udc00") == ("a\ufffdb\ufffd",)
    assert split("\ud83d\ude00") == ("\U0001f600",)


@pytest.mark.parametrize("text", ["", " \n\t\n", "\u200b\u2060", "\u00a0", "\ufeff\r\n"])
def test_nothing_to_see_is_nothing_to_send(text: str) -> None:
    assert split(text) == ()


def test_a_limit_without_room_for_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="100 units"):
        split("x", limit=100)


def test_one_endless_line_is_split_too() -> None:
    parts = split("word `code` **bold** " * 20_000)
    assert all(units(part) <= 2000 for part in parts)
    assert 200 < len(parts) < 280
