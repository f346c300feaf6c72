from __future__ import annotations

import re

import pytest

from repobridge.conditions import SENTENCES, Reason, facts_of, sentence


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence_that_needs_only_its_facts(reason: Reason) -> None:
    told = sentence(reason, **dict.fromkeys(facts_of(reason), "something"))
    assert told.endswith(".")
    assert "{" not in told


def test_there_is_no_sentence_without_a_reason() -> None:
    assert SENTENCES.keys() == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_reasons_are_what_kubernetes_takes_for_one(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]{1,63}", reason.value)


def test_the_words_of_others_end_with_one_full_stop() -> None:
    missing = 'The pod can\'t start without a Secret: secret "git" not found. Create it, and the'
    for detail in ('secret "git" not found', 'secret "git"\n not found.'):
        assert sentence(Reason.SECRET_MISSING, detail=detail).startswith(missing)


def test_a_wrong_spec_is_told_with_its_place() -> None:
    told = sentence(Reason.SPEC_INVALID, path="spec.agent", detail="type chat needs agent.chat")
    assert told == (
        "spec.agent: type chat needs agent.chat. Correct it and apply the RepoBridge again."
    )


def test_a_message_is_never_longer_than_a_condition_takes() -> None:
    told = sentence(Reason.POD_REJECTED, detail="no " * 5000)
    assert len(told) == 4096
    assert told.endswith("…")
