"""Turn after turn in one session: none is lost, none is doubled, and all stand in order."""

from __future__ import annotations

import pytest

from repobridge.session.events import (
    MessageChanged,
    MessageState,
    TurnEnded,
    TurnOpened,
    TurnOutcome,
)
from tests.fakes.anthropic import FakeAnthropic
from tests.live_runner import LiveRunner


@pytest.mark.parametrize(
    "count", [15, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
async def test_turns_in_a_row_are_neither_lost_nor_doubled(
    runner: LiveRunner, anthropic_api: FakeAnthropic, count: int
) -> None:
    names = [f"n{number}" for number in range(count)]
    texts = [f"message number {number} of many" for number in range(count)]
    # One ahead, so that each finds the turn before it open or just over.
    await runner.submit(texts[0], message_id=names[0])
    for before, name, text in zip(names, names[1:], texts[1:], strict=False):
        await runner.submit(text, message_id=name)
        ended = await runner.ended(before)
        assert ended.outcome is TurnOutcome.COMPLETED
    await runner.ended(names[-1])
    assert [each.message_id for each in runner.of(TurnOpened)] == names
    finals = [each.final_markdown for each in runner.of(TurnEnded)]
    assert finals == [f"echo: [Ann via terminal]\n{text}" for text in texts]
    asked = [request.last_user_text.split("\n")[1] for request in anthropic_api.requests]
    assert asked == texts
    assert len(anthropic_api.requests[-1].prompts) == count
    for state in (MessageState.PASTING, MessageState.OPEN, MessageState.ENDED):
        told = [each.message_id for each in runner.of(MessageChanged) if each.state is state]
        assert told == names
    sequences = [event.sequence for event in runner.events]
    assert sequences == list(range(1, len(sequences) + 1))
    assert anthropic_api.refusals == []
