"""What the agent asks is decided exactly once: in the chat, in the terminal, or by its expiry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from repobridge.errors import Refusal
from repobridge.session.events import (
    Actor,
    ApprovalRequested,
    MessageState,
    QuestionAsked,
    QuestionOption,
    RequestKind,
    RequestOutcome,
    RequestResolved,
    Scope,
    SessionState,
    Suggestion,
    ToolEnded,
    ToolOutcome,
    TurnEnded,
    TurnOutcome,
    Via,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.anthropic import FakeAnthropic, Message, Text, ToolUse, bash
from tests.live_runner import LiveRunner, live_runner
from tests.live_terminal import KEY_ENTER, KEY_ESCAPE, attached

BEN = pb.Actor(id="uid:2", display_name="Ben", source="terminal")
BY_ANN = Actor("uid:1", "Ann", "terminal")
BY_BEN = Actor("uid:2", "Ben", "terminal")
DIALOG = "Do you want to proceed?"


async def test_an_allowed_tool_runs_and_the_log_says_who_allowed_it(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash("touch allowed"), Text("done"))
    await runner.submit("go")
    asked = await runner.approval()
    given = {"command": "touch allowed", "description": "Run a command"}
    assert (asked.kind, asked.tool_name, asked.title) == (
        RequestKind.TOOL,
        "Bash",
        "Bash: touch allowed",
    )
    assert json.loads(asked.input_json) == given
    assert asked.input_sha256 == _sha256(given)
    await runner.state(SessionState.WAITING)
    [info] = (await runner.stub.ListSessions(pb.ListSessionsRequest())).sessions
    assert [each.request_id for each in info.open_requests] == [asked.request_id]
    shown = await _refused(runner, asked.request_id, verdict=pb.VERDICT_ALLOW, input_sha256="0")
    assert shown.reason == "INPUT_MISMATCH"
    answer = await runner.decide(
        asked.request_id, verdict=pb.VERDICT_ALLOW, input_sha256=asked.input_sha256
    )
    assert answer.outcome == pb.REQUEST_OUTCOME_ALLOWED
    late = await _refused(runner, asked.request_id, verdict=pb.VERDICT_DENY, actor=BEN)
    assert (late.reason, late.params) == ("ALREADY_DECIDED", {"outcome": "ALLOWED", "by": "Ann"})
    assert "Ann" in late.message
    assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
    assert runner.of(RequestResolved) == [
        RequestResolved(
            asked.request_id, RequestOutcome.ALLOWED, Via.CHAT, BY_ANN, Scope.ONCE, note=""
        )
    ]
    assert [each.outcome for each in runner.of(ToolEnded)] == [ToolOutcome.OK]
    assert (runner.settings.directory / "allowed").exists()


async def test_a_denied_tool_does_not_run_and_the_model_hears_why(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash("touch denied"), Text("understood"))
    await runner.submit("go")
    asked = await runner.approval()
    await runner.decide(
        asked.request_id, verdict=pb.VERDICT_DENY, reason="not on a Friday", actor=BEN
    )
    ended = await runner.ended("m1")
    assert (ended.outcome, ended.final_markdown) == (TurnOutcome.COMPLETED, "understood")
    [result] = anthropic_api.requests[-1].tool_results
    assert (result.is_error, "not on a Friday" in result.text) == (True, True)
    assert runner.of(RequestResolved) == [
        RequestResolved(
            asked.request_id,
            RequestOutcome.DENIED,
            Via.CHAT,
            BY_BEN,
            scope=None,
            note="not on a Friday",
        )
    ]
    assert [each.outcome for each in runner.of(ToolEnded)] == [ToolOutcome.DENIED]
    assert not (runner.settings.directory / "denied").exists()
    unknown = await _refused(runner, "nobody-asked", verdict=pb.VERDICT_ALLOW)
    assert (unknown.status.value, unknown.reason) == ("NOT_FOUND", "UNKNOWN_REQUEST")


@pytest.fixture
async def hasty(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    """A runner whose requests expire soon."""
    async with live_runner(
        repository,
        tmp_path / "home",
        claude=claude_path,
        api=anthropic_api,
        request_expiry_seconds=0.4,
    ) as live:
        yield live


async def test_what_nobody_decides_expires_and_is_denied(
    hasty: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash("touch expired"), Text("well"))
    await hasty.submit("go")
    asked = await hasty.approval()
    resolved = await hasty.resolved(asked.request_id)
    assert (resolved.outcome, resolved.via, resolved.by) == (
        RequestOutcome.EXPIRED,
        Via.POLICY,
        None,
    )
    late = await _refused(hasty, asked.request_id, verdict=pb.VERDICT_ALLOW)
    assert (late.status.value, late.reason) == ("FAILED_PRECONDITION", "REQUEST_EXPIRED")
    assert (await hasty.ended("m1")).outcome is TurnOutcome.COMPLETED
    [result] = anthropic_api.requests[-1].tool_results
    assert (result.is_error, "in time" in result.text) == (True, True)
    assert not (hasty.settings.directory / "expired").exists()
    anthropic_api.script(_question(multi=False), Text("on my own then"))
    await hasty.submit("again")
    question = await hasty.question()
    assert (await hasty.resolved(question.request_id)).outcome is RequestOutcome.EXPIRED
    assert (await hasty.ended("m2")).final_markdown == "on my own then"


async def test_enter_in_the_terminals_dialog_allows_and_escape_ends_the_turn(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash("touch typed"), Text("done"), bash("touch escaped"), Text("never"))
    await runner.submit("go")
    first = await runner.approval()
    async with attached(runner, actor=BEN) as terminal:
        await terminal.shows(DIALOG)
        await terminal.type(KEY_ENTER)
        resolved = await runner.resolved(first.request_id)
        assert (resolved.outcome, resolved.via) == (RequestOutcome.ALLOWED, Via.TERMINAL)
        assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
        assert (runner.settings.directory / "typed").exists()
        seen = len(runner.events)
        await runner.submit("once more")
        second = await runner.approval(after=seen)
        await terminal.shows("touch escaped")
        await terminal.shows(DIALOG)
        await terminal.type(KEY_ESCAPE)
        resolved = await runner.resolved(second.request_id)
        assert (resolved.outcome, resolved.via) == (RequestOutcome.CANCELLED, Via.TERMINAL)
        assert (await runner.ended("m2")).outcome is TurnOutcome.INTERRUPTED
    assert not (runner.settings.directory / "escaped").exists()
    gone = await _refused(runner, second.request_id, verdict=pb.VERDICT_ALLOW)
    assert (gone.reason, gone.params["outcome"]) == ("ALREADY_DECIDED", "CANCELLED")
    assert (await runner.turn("still there?")).outcome is TurnOutcome.COMPLETED


async def test_two_permissions_of_one_answer_are_decided_each_by_itself(
    runner: LiveRunner, anthropic_api: FakeAnthropic, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"the text of {name}\n")
    reads = [ToolUse("Read", {"file_path": str(tmp_path / name)}) for name in ("one", "two")]
    anthropic_api.script(Message(reads), Text("done"))
    await runner.submit("read both")
    decided: list[ApprovalRequested] = []
    for verdict in (pb.VERDICT_DENY, pb.VERDICT_ALLOW):
        asked = await runner.next(
            ApprovalRequested, where=lambda a: a.request_id not in [d.request_id for d in decided]
        )
        await runner.decide(asked.request_id, verdict=verdict)
        decided.append(asked)
    assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
    asked_for = [json.loads(each.input_json)["file_path"] for each in decided]
    assert sorted(asked_for) == [str(tmp_path / "one"), str(tmp_path / "two")]
    results = anthropic_api.requests[-1].tool_results
    denied_first = asked_for[0].endswith("one")
    assert [result.is_error for result in results] == [denied_first, not denied_first]
    assert f"the text of {Path(asked_for[1]).name}" in "".join(result.text for result in results)


async def test_two_commands_of_one_answer_are_decided_each_by_itself(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(Message([bash("touch one"), bash("touch two")]), Text("done"))
    await runner.submit("both")
    first = await runner.approval()
    await runner.decide(first.request_id, verdict=pb.VERDICT_ALLOW)
    second = await runner.next(ApprovalRequested, where=lambda a: a.request_id != first.request_id)
    await runner.decide(second.request_id, verdict=pb.VERDICT_DENY)
    await runner.ended("m1")
    there = [name for name in ("one", "two") if (runner.settings.directory / name).exists()]
    assert there == ["one"]


async def test_allowed_for_the_session_it_asks_no_more_until_another_session(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    _run_and_say(anthropic_api)
    await runner.submit("run: git tag one")
    asked = await runner.approval()
    assert asked.suggestions == (Suggestion("s0", "Bash(git tag *)", Scope.ALWAYS),)
    wrong = await _refused(
        runner,
        asked.request_id,
        verdict=pb.VERDICT_ALLOW,
        scope=pb.SCOPE_SESSION,
        suggestion_id="s9",
    )
    assert (wrong.status.value, wrong.reason) == ("INVALID_ARGUMENT", "UNKNOWN_SUGGESTION")
    await runner.decide(asked.request_id, verdict=pb.VERDICT_ALLOW, scope=pb.SCOPE_SESSION)
    await runner.ended("m1")
    assert (await runner.resolved(asked.request_id)).scope is Scope.SESSION
    await runner.turn("run: git tag two")
    assert len(runner.of(ApprovalRequested)) == 1
    seen = len(runner.events)
    await runner.submit("run: git tag three", conversation_id="other")
    elsewhere = await runner.approval(after=seen)
    await runner.decide(elsewhere.request_id, verdict=pb.VERDICT_DENY)
    await runner.ended("m3")


async def test_allowed_for_always_it_asks_no_more_after_a_restart_nor_elsewhere(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    _run_and_say(anthropic_api)
    await runner.submit("run: git tag one")
    asked = await runner.approval()
    await runner.decide(
        asked.request_id, verdict=pb.VERDICT_ALLOW, scope=pb.SCOPE_ALWAYS, suggestion_id="s0"
    )
    await runner.ended("m1")
    assert (await runner.resolved(asked.request_id)).scope is Scope.ALWAYS
    await runner.turn("run: git tag two", conversation_id="thread")
    await runner.stop()
    await runner.start()
    await runner.turn("run: git tag three")
    assert [each.outcome for each in runner.of(ToolEnded)] == [ToolOutcome.OK] * 3
    assert len(runner.of(ApprovalRequested)) == 1
    assert not (runner.settings.directory / ".claude").exists()


async def test_questions_are_answered_with_labels_and_free_text(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(_question(multi=True), Text("thanks"))
    await runner.submit("ask me")
    asked = await runner.question()
    assert [(q.id, q.text, q.header, q.multi, q.allow_other) for q in asked.questions] == [
        ("q0", "Which colour?", "Colour", False, True),
        ("q1", "Which sizes?", "Sizes", True, True),
        ("q2", "Anything else?", "More", False, True),
    ]
    assert asked.questions[0].options == (
        QuestionOption("Red", "as a rose"),
        QuestionOption("Blue", "as the sky"),
    )
    red = pb.Answer(question_id="q0", options=["Red"])
    for answers in (
        [red],
        [pb.Answer(question_id="q0", options=["Mauve"])],
        [pb.Answer(question_id="q0", options=["Red", "Blue"])],
    ):
        incomplete = await _refused(
            runner, asked.request_id, verdict=pb.VERDICT_ANSWER, answers=answers
        )
        assert incomplete.reason == "INCOMPLETE_ANSWER"
    answer = await runner.decide(
        asked.request_id,
        verdict=pb.VERDICT_ANSWER,
        answers=[
            red,
            pb.Answer(question_id="q1", options=["Small", "Large"]),
            pb.Answer(question_id="q2", other="no, thank you"),
        ],
    )
    assert answer.outcome == pb.REQUEST_OUTCOME_ANSWERED
    await runner.ended("m1")
    assert runner.of(RequestResolved) == [
        RequestResolved(asked.request_id, RequestOutcome.ANSWERED, Via.CHAT, BY_ANN)
    ]
    [result] = anthropic_api.requests[-1].tool_results
    assert not result.is_error
    for part in ('"Which colour?"="Red"', '="Small, Large"', '="no, thank you"'):
        assert part in result.text
    assert len(runner.of(QuestionAsked)) == 1
    assert runner.of(ApprovalRequested) == []


async def test_a_question_can_be_declined(runner: LiveRunner, anthropic_api: FakeAnthropic) -> None:
    anthropic_api.script(_question(multi=False), Text("as you like"))
    await runner.submit("ask me")
    asked = await runner.question()
    await runner.decide(asked.request_id, verdict=pb.VERDICT_DENY, reason="ask me tomorrow")
    assert (await runner.ended("m1")).final_markdown == "as you like"
    [result] = anthropic_api.requests[-1].tool_results
    assert (result.is_error, "ask me tomorrow" in result.text) == (True, True)
    assert (await runner.resolved(asked.request_id)).outcome is RequestOutcome.DENIED


async def test_a_plan_is_revised_and_then_approved(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    plan = ToolUse("ExitPlanMode", {"plan": "1. Think\n2. Do"})
    anthropic_api.script(Text("hello"), plan, Text("I think again"), plan, Text("I do it"))
    await runner.turn("hello")
    await runner.stub.Control(
        pb.ControlRequest(
            conversation_id="main", set_mode=pb.ControlRequest.SetMode(permission_mode="plan")
        )
    )
    seen = len(runner.events)
    await runner.submit("plan it")
    asked = await runner.approval(after=seen)
    assert (asked.kind, asked.tool_name) == (RequestKind.PLAN, "ExitPlanMode")
    assert json.loads(asked.input_json)["plan"] == "1. Think\n2. Do"
    await runner.decide(asked.request_id, verdict=pb.VERDICT_DENY, reason="too short")
    assert (await runner.ended("m2")).final_markdown == "I think again"
    assert "too short" in anthropic_api.requests[-1].tool_results[0].text
    seen = len(runner.events)
    await runner.submit("plan it again")
    asked = await runner.approval(after=seen)
    await runner.decide(asked.request_id, verdict=pb.VERDICT_ALLOW)
    assert (await runner.ended("m3")).final_markdown == "I do it"
    assert not anthropic_api.requests[-1].tool_results[0].is_error


async def test_an_interrupt_closes_what_waits(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash("touch never"), Text("never"))
    await runner.submit("go")
    asked = await runner.approval()
    await runner.interrupt()
    resolved = await runner.resolved(asked.request_id)
    assert (resolved.outcome, resolved.via) == (RequestOutcome.CANCELLED, Via.POLICY)
    assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
    assert [each.outcome for each in runner.of(ToolEnded)] == [ToolOutcome.CANCELLED]
    assert not (runner.settings.directory / "never").exists()
    assert (await runner.turn("next")).outcome is TurnOutcome.COMPLETED
    assert len(runner.of(TurnEnded)) == 2


async def test_a_message_never_reaches_an_open_dialog(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(
        bash("touch approved-by-accident"), Text("denied"), _question(multi=False), Text("told")
    )
    await runner.submit("go")
    asked = await runner.approval()
    waiting = await runner.submit("\r\n1\r\nyes")
    await runner.submit("and another")
    assert (waiting.status.state, waiting.status.position) == (MessageState.QUEUED.value, 1)
    await runner.decide(asked.request_id, verdict=pb.VERDICT_DENY)
    assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
    question = await runner.question()
    await runner.submit("Enter")
    await runner.decide(
        question.request_id,
        verdict=pb.VERDICT_ANSWER,
        answers=[pb.Answer(question_id="q0", options=["Blue"])],
    )
    for message_id in ("m2", "m3", "m4"):
        assert (await runner.ended(message_id)).outcome is TurnOutcome.COMPLETED
    assert not (runner.settings.directory / "approved-by-accident").exists()
    assert len(runner.of(TurnEnded)) == 4


def _question(*, multi: bool) -> ToolUse:
    def one(text: str, header: str, *labels: tuple[str, str], multi: bool = False) -> Any:
        options = [{"label": label, "description": told} for label, told in labels]
        return {"question": text, "header": header, "options": options, "multiSelect": multi}

    questions = [one("Which colour?", "Colour", ("Red", "as a rose"), ("Blue", "as the sky"))]
    if multi:
        sizes = (("Small", "s"), ("Medium", "m"), ("Large", "l"))
        questions.append(one("Which sizes?", "Sizes", *sizes, multi=True))
        questions.append(one("Anything else?", "More", ("Yes", "y"), ("No", "n")))
    return ToolUse("AskUserQuestion", {"questions": questions})


def _run_and_say(api: FakeAnthropic) -> None:
    """`run: COMMAND` runs the command, and then says so."""

    def command(prompt: str) -> str:
        return prompt.split("run: ")[1]

    api.when("run: ", lambda request: bash(command(request.last_user_text)), Text("done"))


async def _refused(runner: LiveRunner, request_id: str, **fields: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runner.decide(request_id, **fields)
    return from_rpc_error(refused.value)


def _sha256(value: Mapping[str, str]) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
