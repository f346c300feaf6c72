from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.expansion import expand

ENVIRONMENT = {"HOME": "/home/ada", "TOKEN": "t$k", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$HOME/a", "/home/ada/a"),
        ("${HOME}s", "/home/adas"),
        ("$HOME$HOME", "/home/ada/home/ada"),
        ("$TOKEN", "t$k"),
        ("a${EMPTY}b", "ab"),
        ("$$HOME", "$HOME"),
        ("costs 5$", "costs 5$"),
        ("a $ b $, $", "a $ b $, $"),
        ("no reference", "no reference"),
    ],
)
def test_references_are_replaced_as_in_go(text: str, expanded: str) -> None:
    assert expand(text, ENVIRONMENT) == (expanded, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x$MISSING", "the environment variable MISSING is not set"),
        ("${MISSING}", "the environment variable MISSING is not set"),
        ("${HOME", '"${" is not closed; write "$$" for a literal dollar sign'),
        ("${}", '"${}" does not name a variable; write "$$" for a literal dollar sign'),
        ("${A-b}", '"${A-b}" does not name a variable; write "$$" for a literal dollar sign'),
        ("pa$5", '"$5" does not name a variable; write "$$" for a literal dollar sign'),
    ],
)
def test_what_cannot_be_replaced_is_named(text: str, problem: str) -> None:
    assert expand(text, ENVIRONMENT)[1] == (problem,)


@given(st.text())
def test_doubled_dollars_always_give_back_the_text(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}) == (text, ())
