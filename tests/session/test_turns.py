"""A message becomes a turn: taken once, streamed, ended once; others wait behind it."""

from __future__ import annotations

import grpc
import pytest

from repobridge.session.events import (
    MessageState,
    TextDelta,
    ToolEnded,
    ToolOutcome,
    ToolStarted,
    TurnEnded,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
    UsageUpdated,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.anthropic import ApiError, FakeAnthropic, Gate, Message, Reset, Text, Usage, bash
from tests.live_runner import LiveRunner, held_turn


async def test_a_message_is_answered_with_a_streamed_text_and_one_end(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(Text("first line\nsecond line\n", usage=Usage(11, 7, 3, 5)))
    ended = await runner.turn("hello")
    opened = runner.of(TurnOpened)[0]
    turn_id = next(e.turn_id for e in runner.events if e.body is opened)
    assert (opened.origin, opened.message_id) == (TurnOrigin.MESSAGE, "m1")
    assert opened.actor is not None
    assert opened.actor.display_name == "Ann"
    assert runner.text_of(turn_id).strip() == "first line\nsecond line"
    assert (ended.outcome, ended.final_markdown) == (
        TurnOutcome.COMPLETED,
        "first line\nsecond line",
    )
    assert len(runner.of(TurnEnded)) == 1
    usage = runner.of(UsageUpdated)[-1]
    assert (usage.input, usage.output, usage.cache_write, usage.cache_read) == (11, 7, 3, 5)
    assert anthropic_api.refusals == []


async def test_messages_that_come_in_mid_turn_wait_in_order(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Text(["working\n", gate, "done\n"]))
    first = await runner.submit("first")
    await gate.reached()
    second, third = await runner.submit("second"), await runner.submit("third")
    assert [r.status.position for r in (first, second, third)] == [1, 1, 2]
    await gate.open()
    await runner.ended("m3")
    opened = [body.message_id for body in runner.of(TurnOpened)]
    assert opened == ["m1", "m2", "m3"]
    assert [body.outcome for body in runner.of(TurnEnded)] == [TurnOutcome.COMPLETED] * 3


async def test_a_waiting_message_can_be_amended_and_withdrawn(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = await held_turn(runner, anthropic_api)
    await runner.submit("secnd")
    await runner.submit("never")
    await runner.stub.Amend(pb.AmendRequest(message_id="m2", text="second"))
    withdrawn = await runner.stub.Withdraw(pb.WithdrawRequest(message_id="m3"))
    again = await runner.stub.Withdraw(pb.WithdrawRequest(message_id="m3"))
    assert withdrawn == again
    assert withdrawn.state == MessageState.WITHDRAWN.value
    await gate.open()
    await runner.ended("m2")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runner.stub.Amend(pb.AmendRequest(message_id="m2", text="late"))
    assert from_rpc_error(refused.value).reason == "ALREADY_PASTED"
    prompts = [request.last_user_text for request in anthropic_api.requests]
    assert "second" in prompts[-1]
    assert not any("never" in prompt for prompt in prompts)


async def test_an_interrupt_ends_the_turn_and_lets_the_next_message_in(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Text(["started\n" * 3, gate, "never\n"]))
    await runner.submit("first")
    await runner.next(TextDelta)
    await runner.submit("second")
    assert (await runner.interrupt()).changed
    assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
    assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
    assert len(runner.of(TurnEnded)) == 2


async def test_an_interrupt_before_the_first_word_leaves_no_text_behind(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Message([gate, Text("never")]))
    await runner.submit("do not say this again")
    await runner.next(TurnOpened)
    await gate.reached()
    await runner.interrupt()
    assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
    assert (await runner.turn("second")).outcome is TurnOutcome.COMPLETED
    last = anthropic_api.requests[-1].last_user_text
    assert last.endswith("second")
    assert "do not say" not in last


async def test_tools_show_as_a_timeline(runner: LiveRunner, anthropic_api: FakeAnthropic) -> None:
    anthropic_api.script(bash("echo one; echo two"), Text("done"))
    await runner.turn("run it")
    [started], [ended] = runner.of(ToolStarted), runner.of(ToolEnded)
    assert (started.name, started.title) == ("Bash", "Bash: echo one; echo two")
    assert ended.tool_use_id == started.tool_use_id
    assert (ended.outcome, ended.summary) == (ToolOutcome.OK, "one\ntwo")


async def test_text_that_only_the_end_carries_is_not_lost(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(Reset(after_bytes=400), Text("the whole answer\n"))
    ended = await runner.turn("hello")
    assert ended.final_markdown == "the whole answer"
    shown = "".join(delta.markdown for delta in runner.of(TextDelta))
    assert "the whole answer" in shown


async def test_an_error_of_the_provider_ends_the_turn_with_its_name(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(ApiError(403))
    ended = await runner.turn("hello")
    assert ended.outcome is TurnOutcome.FAILED
    assert ended.error is not None
    assert ended.error.code == "authentication_failed"
    assert (await runner.turn("again")).outcome is TurnOutcome.COMPLETED


async def test_the_same_message_twice_is_one_turn(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    first = await runner.submit("hello", message_id="same")
    again = await runner.submit("hello", message_id="same")
    assert (first.duplicate, again.duplicate) == (False, True)
    await runner.ended("same")
    later = await runner.submit("hello", message_id="same")
    assert later.status.state == MessageState.ENDED.value
    await runner.turn("other")
    assert [body.message_id for body in runner.of(TurnOpened)] == ["same", "m4"]
