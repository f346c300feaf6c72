"""Names made from somebody else's never collide and always fit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge import names

_CONVERSATIONS = st.text(
    st.sampled_from("abcXYZ019._-") | st.characters(codec="utf-8"), min_size=1, max_size=100
)


def test_a_session_is_derived_from_bridge_conversation_and_generation() -> None:
    uid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert names.session_id(uid, "main", 0) == "814f88ea-4b01-5006-96be-8035c0aa6dfa"
    assert names.session_id(uid, "main", 1) != names.session_id(uid, "main", 0)


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        ("main", "main"),
        ("1123581321345589144", "1123581321345589144"),
        ("fix-login", "fix-login"),
        ("a", "a"),
        ("Fix.Login", "fix-login-809186a0ae"),
        ("x.lock", "x-lock-f53b5310e1"),
        ("..", "5ec1f7e700"),
        ("-x", "x-a420962426"),
    ],
)
def test_a_slug_stays_readable(conversation: str, expected: str) -> None:
    assert names.slug(conversation) == expected


@given(_CONVERSATIONS)
def test_a_slug_is_a_component_anywhere(conversation: str) -> None:
    made = names.slug(conversation)
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?", made)
    assert names.branch(conversation) == f"repobridge/{made}"


@given(st.lists(_CONVERSATIONS, unique=True, min_size=2, max_size=8))
def test_different_names_have_different_slugs(conversations: list[str]) -> None:
    made = [names.slug(each) for each in conversations]
    made += [names.slug(each) for each in {*made} - {*conversations}]
    originals = {*conversations, *(names.slug(each) for each in conversations)}
    assert len(set(made)) == len(originals)


def test_a_digested_slug_is_not_the_slug_of_its_own_text() -> None:
    assert names.slug(names.slug("A")) != names.slug("A")
    assert names.slug("A") != names.slug("a")
