"""Sentences of ours can always be sent, also where words of others stand in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.measure import is_blank, units
from repobridge_gateway.render.pieces import from_json
from repobridge_gateway.speech import sentence

ANY = st.characters(codec=None) | st.sampled_from("\u202e\u0336\u200b👩🏽\n`@")


@given(st.text(ANY), st.integers(1, 3000))
def test_any_sentence_is_one_message_that_can_be_sent(text: str, times: int) -> None:
    whole = f"Not run: {text * times}"
    (told,) = sentence("refused 1", "100", whole, reply_to="1")
    said = from_json(told.payload, ()).content
    assert not is_blank(said)
    assert units(said) <= 2000
