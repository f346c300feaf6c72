from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.custom_id import (
    CustomId,
    Kind,
    Verb,
    make_custom_id,
    parse_custom_id,
)
from tests.unit.gateway.render.turns import KEY


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (CustomId(Kind.TURN, KEY, Verb.STOP), f"rb1:turn:{KEY}:stop"),
        (CustomId(Kind.APPROVAL, KEY, Verb.ALWAYS), f"rb1:approval:{KEY}:always"),
        (CustomId(Kind.PLAN, KEY, Verb.REVISE), f"rb1:plan:{KEY}:revise"),
        (CustomId(Kind.QUESTION, KEY, Verb.CHOOSE, (3,)), f"rb1:question:{KEY}:choose.3"),
        (CustomId(Kind.QUESTION, KEY, Verb.CHOOSE, (3, 12)), f"rb1:question:{KEY}:choose.3.12"),
        (CustomId(Kind.QUESTION, KEY, Verb.WRITE, (0,)), f"rb1:question:{KEY}:write.0"),
    ],
)
def test_what_is_written_is_read_again(told: CustomId, text: str) -> None:
    assert str(told) == text
    assert parse_custom_id(text) == told
    assert len(text) <= 100


@pytest.mark.parametrize(
    "text",
    [
        "", "rb1", "hello", f"rb2:turn:{KEY}:stop", f"rb1:turn:{KEY}:deny", f"rb1:turn:{KEY}:nope",
        f"rb1:nope:{KEY}:stop", f"rb1:turn:{KEY.lower()}:stop", f"rb1:turn:{KEY[:-1]}:stop",
        f"rb1:turn:{KEY}X:stop", f"rb1:turn:8{KEY[1:]}:stop", f"rb1:turn:{KEY}:stop\n",
        f" rb1:turn:{KEY}:stop", f"rb1:turn:{KEY}:stop:", f"rb1:turn:{KEY}:stop.1",
        f"rb1:question:{KEY}:choose", f"rb1:question:{KEY}:choose.1.2.3",
        f"rb1:question:{KEY}:choose.01", f"rb1:question:{KEY}:choose.1000",
        f"rb1:question:{KEY}:choose.-1", f"rb1:question:{KEY}:write.1.2",
        f"rb1:question:{KEY}:choose.\u0661", f"rb1:turn:{KEY.replace('Z', 'I')}:stop",
    ],
)  # fmt: skip
def test_what_others_wrote_is_nothing_of_ours(text: str) -> None:
    assert parse_custom_id(text) is None


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = parse_custom_id(text)
    assert found is None or str(found) == text


def test_a_name_that_could_not_be_read_is_not_made() -> None:
    for key in ("x", "", KEY + ":"):
        with pytest.raises(ValueError, match="no name"):
            make_custom_id(Kind.TURN, key, Verb.STOP)
    with pytest.raises(ValueError, match="no name"):
        make_custom_id(Kind.TURN, KEY, Verb.DENY)
