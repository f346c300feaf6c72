from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.fences import scan
from repobridge_gateway.render.measure import units
from repobridge_gateway.render.tail import keep_end


def test_a_short_text_stays_and_its_code_is_closed() -> None:
    assert keep_end("a\n\nb\n", limit=100) == "a\n\nb"
    assert keep_end("```py\nx = 1", limit=100) == "```py\nx = 1\n```"


def test_of_a_long_text_the_last_lines_are_kept() -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    assert keep_end(text, limit=30) == "…\nline 97\nline 98\nline 99"


def test_code_that_is_cut_is_still_code() -> None:
    code = "\n".join(f"x = {number}" for number in range(100))
    assert keep_end(f"```py\n{code}", limit=40) == "…\n```py\nx = 96\nx = 97\nx = 98\nx = 99\n```"
    whole = f"```py\n{code}\n```\nDone."
    assert keep_end(whole, limit=40) == "…\n```py\nx = 97\nx = 98\nx = 99\n```\nDone."
    assert keep_end(whole, limit=17) == "…\nDone."


def test_a_line_that_is_too_long_keeps_its_last_words() -> None:
    assert keep_end("word " * 100 + "end", limit=30) == "…\n…word word word word end"
    assert keep_end("```\n" + "x" * 500, limit=40) == "…\n```\n…" + "x" * 29 + "\n```"


@given(
    st.lists(
        st.sampled_from(["```", "~~~~py", "\n", "\n\n", "> ", "word ", "x" * 50, "é\U0001f600"])
    ).map("".join),
    st.integers(150, 400),
)
def test_whatever_grows_its_end_fits_and_is_closed(text: str, limit: int) -> None:
    end = keep_end(text, limit=limit)
    assert units(end) <= limit
    assert not scan(end)[-1].leaves_open
    assert keep_end(end, limit=limit) == end
