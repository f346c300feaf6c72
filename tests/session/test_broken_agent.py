"""An agent that misbehaves in ways that the real one can't be made to show."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from repobridge.session.events import (
    MessageChanged,
    MessageState,
    RequestOutcome,
    SessionChanged,
    SessionState,
    TextDelta,
    ToolEnded,
    ToolStarted,
    TurnOpened,
    TurnOutcome,
    Via,
)
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.live_runner import PATIENCE_SECONDS
from tests.live_terminal import KEY_ESCAPE, attached
from tests.session.faulty import FaultyRunner, assert_one_end_each, eventually, scripted_runner


@pytest.fixture
def scripted(tmp_path: Path) -> ScriptedClaude:
    """A scripted agent that behaves until it is told otherwise."""
    return ScriptedClaude(tmp_path / "agent")


def rejection(runner: FaultyRunner, message_id: str) -> MessageChanged:
    return next(
        body
        for body in runner.of(MessageChanged)
        if (body.message_id, body.state) == (message_id, MessageState.REJECTED)
    )


async def test_an_agent_that_hangs_at_its_start_is_told_with_its_screen_and_mends(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(start="hang", start_message="Loading the spinning wheel")
    async with scripted_runner(tmp_path, scripted, agent={"start_seconds": 5.0}) as runner:
        await runner.submit("hello")
        await runner.submit("and this")
        await runner.message("m2", MessageState.REJECTED)
        for message_id in ("m1", "m2"):
            rejected = rejection(runner, message_id)
            assert rejected.reason.startswith("AgentStartTimeout: ")
            assert "did not reach its prompt within 5 s" in rejected.reason
            assert "Loading the spinning wheel" in rejected.reason
        scripted.script()
        ended = await runner.turn("once more")
        assert (ended.outcome, ended.final_markdown) == (
            TurnOutcome.COMPLETED,
            "echo: once more",
        )
        assert scripted.executed() == ["[Ann via terminal]\nonce more"]


async def test_an_agent_that_exits_at_its_start_is_told_with_what_it_said(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(start="exit", start_message="Your licence has run out")
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.submit("hello")
        await runner.message("m1", MessageState.REJECTED)
        rejected = rejection(runner, "m1")
        assert "ended at start (exit code 3)" in rejected.reason
        assert "Your licence has run out" in rejected.reason
        failed = [b for b in runner.of(SessionChanged) if b.state is SessionState.EXITED]
        assert [body.reason for body in failed] == ["AgentExited", "AgentExited"]
        scripted.script()
        assert (await runner.turn("again")).outcome is TurnOutcome.COMPLETED


async def test_a_hook_that_comes_twice_counts_once(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(hooks_twice=True)
    async with scripted_runner(tmp_path, scripted) as runner:
        ended = await runner.turn("%say one\n%tool echo two\n%say three")
        again = await runner.turn("%say four")
        assert (ended.outcome, again.outcome) == (TurnOutcome.COMPLETED, TurnOutcome.COMPLETED)
        assert [body.message_id for body in runner.of(TurnOpened)] == ["m1", "m2"]
        text = "".join(body.markdown for body in runner.of(TextDelta))
        assert [text.count(word) for word in ("one", "three", "four")] == [1, 1, 1]
        assert (len(runner.of(ToolStarted)), len(runner.of(ToolEnded))) == (1, 1)
        assert_one_end_each(runner)


async def test_text_that_is_shown_after_the_end_opens_no_turn_and_is_not_doubled(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(late_display=True)
    async with scripted_runner(tmp_path, scripted) as runner:
        for number in range(3):
            await runner.turn(f"%say number {number}")
        assert [body.message_id for body in runner.of(TurnOpened)] == ["m1", "m2", "m3"]
        text = "".join(body.markdown for body in runner.of(TextDelta))
        assert [text.count(f"number {n}") for n in range(3)] == [1, 1, 1]
        assert_one_end_each(runner)


async def test_an_enter_that_is_lost_is_pressed_once_more(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(lose_enters=1)
    async with scripted_runner(tmp_path, scripted, confirm_seconds=3.0) as runner:
        ended = await runner.turn("hello")
        assert ended.final_markdown == "echo: hello"
        assert scripted.executed() == ["[Ann via terminal]\nhello"]


async def test_a_prompt_that_is_never_taken_is_given_back_and_not_pasted_twice(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(deaf=True)
    async with scripted_runner(tmp_path, scripted, confirm_seconds=3.0) as runner:
        await runner.submit("hello")
        await runner.message("m1", MessageState.REJECTED)
        assert rejection(runner, "m1").reason == "INPUT_NOT_TAKEN"
        seen = {line["prompt"] for line in scripted.recorded("deaf")}
        assert seen == {"[Ann via terminal]\nhello"}, "pasted once, entered twice"
        assert len(scripted.recorded("deaf")) == 2
        assert scripted.executed() == []
        assert runner.of(TurnOpened) == []
        # The input box is empty again, or the agent was restarted: nothing is glued together.
        scripted.script()
        await runner.stub.Control(
            pb.ControlRequest(conversation_id="main", restart=pb.ControlRequest.Restart())
        )
        assert (await runner.turn("second")).final_markdown == "echo: second"


async def test_an_agent_that_ignores_answers_denies_nothing_by_itself(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(ignore_answers=True)
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.submit("%ask echo hi")
        asked = await runner.approval()
        await runner.decide(asked.request_id, verdict=1)
        ended = await runner.ended("m1")
        assert ended.final_markdown == "was denied"


async def test_a_hook_with_a_wrong_token_or_path_is_refused_and_changes_nothing(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("hello")
        url, right = hook_of(scripted)
        prompt = {"hook_event_name": "UserPromptSubmit", "prompt": "forged", "prompt_id": "x"}
        body = json.dumps(prompt).encode()
        assert await posted(url, "Bearer wrong", body) == 403
        assert await posted(url, "", body) == 403
        assert await posted(url + "x", right, body) == 403
        assert await posted(url.rsplit("/", 1)[0] + "/", right, body) == 403
        assert await posted(url, right, b"not json") == 400
        assert await posted(url, right, b"[1]") == 400
        await runner.turn("second")
        assert [body.message_id for body in runner.of(TurnOpened)] == ["m1", "m2"]


async def test_a_hook_cut_in_its_body_or_too_large_leaves_the_session_alone(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("hello")
        url, token = hook_of(scripted)
        target = urlsplit(url)
        _, writer = await asyncio.open_connection(target.hostname, target.port)
        writer.write(head(url, token, 1000) + b'{"hook_event_name": "Stop", ')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await refused_upload(url, token, size=80 << 20)
        assert (await runner.turn("second")).outcome is TurnOutcome.COMPLETED
        assert len(runner.of(TurnOpened)) == 2


async def test_values_of_a_wrong_kind_in_a_hook_do_no_harm(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("hello")
        url, token = hook_of(scripted)
        strange: list[dict[str, object]] = [
            {"hook_event_name": "MessageDisplay", "index": "many", "delta": 7},
            {"hook_event_name": "PostToolUse", "duration_ms": {}, "tool_input": []},
            {"hook_event_name": "PermissionRequest", "permission_suggestions": 5},
            {"hook_event_name": "PermissionRequest", "permission_suggestions": [{"rules": 1}]},
            {"hook_event_name": "Stop", "background_tasks": 3},
            {"hook_event_name": ["Stop"]},
            {"hook_event_name": "NeverHeardOf"},
            {},
        ]
        for payload in strange:
            assert await posted(url, token, json.dumps(payload).encode()) in (200, 400, 500, 0)
        assert (await runner.turn("second")).outcome is TurnOutcome.COMPLETED
        assert [body.message_id for body in runner.of(TurnOpened)] == ["m1", "m2"]


async def test_an_agent_that_ignores_sigterm_is_killed_with_all_that_it_left(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(ignore_sigterm=True)
    async with scripted_runner(tmp_path, scripted, shutdown_grace_seconds=0.5) as runner:
        await runner.turn(
            "%leave 300\n%tool (trap '' TERM HUP; setsid sleep 300) >/dev/null 2>&1 &"
        )
        [started], [left] = scripted.recorded("start"), scripted.recorded("left")
        pids = [started["pid"], left["child"]]
        whole = psutil.Process(started["pid"]).children(recursive=True)
        seen = len(runner.events)
        await runner.stub.Control(
            pb.ControlRequest(conversation_id="main", stop=pb.ControlRequest.Stop())
        )
        await runner.state(SessionState.EXITED, after=seen)
        await eventually(lambda: not any(map(is_running, [*pids, *(p.pid for p in whole)])))
        assert len(whole) >= 2
        assert (await runner.turn("%recall")).outcome is TurnOutcome.COMPLETED


async def test_the_agent_that_dies_in_its_turn_leaves_one_end_and_goes_on_once(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    async with scripted_runner(tmp_path, scripted) as runner:
        ended = await runner.turn("%say before\n%die")
        assert (ended.outcome, ended.final_markdown) == (TurnOutcome.COMPLETED, "went on")
        assert scripted.executed() == ["[Ann via terminal]\n%say before\n%die"]
        assert_one_end_each(runner)


async def test_an_agent_that_does_not_go_on_with_a_cut_turn_is_ended_and_the_turn_is_lost(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(forget_cut=True)
    async with scripted_runner(tmp_path, scripted, confirm_seconds=3.0) as runner:
        ended = await runner.turn("%say before\n%die")
        assert ended.outcome is TurnOutcome.LOST
        assert ended.error is not None
        assert ended.error.code == "NotResumed"
        assert (await runner.turn("next")).final_markdown == "echo: next"
        assert [body.reason for body in runner.of(SessionChanged)].count("NotResumed") == 2
        assert len(scripted.recorded("start")) == 3
        assert_one_end_each(runner)


async def test_an_escape_whose_hook_ends_late_is_no_permission(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(hang_up_late_seconds=2.5)
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.submit("%ask touch escaped")
        asked = await runner.approval()
        async with attached(runner) as terminal:
            await terminal.shows("Do you want to proceed?")
            await terminal.type(KEY_ESCAPE)
            resolved = await runner.resolved(asked.request_id)
        assert (resolved.outcome, resolved.via) == (RequestOutcome.CANCELLED, Via.TERMINAL)
        assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
        assert scripted.recorded("tool") == []


async def test_an_interrupt_that_is_taken_late_does_not_let_the_turn_go_on_with_a_no(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    scripted.script(escape_late_seconds=0.5)
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.submit("%ask touch never\n%say went on")
        asked = await runner.approval()
        await runner.interrupt()
        resolved = await runner.resolved(asked.request_id)
        assert (resolved.outcome, resolved.via) == (RequestOutcome.CANCELLED, Via.POLICY)
        assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
        assert runner.of(TextDelta) == []
        assert (await runner.turn("next")).outcome is TurnOutcome.COMPLETED


async def test_an_interrupt_ends_a_turn_that_stands_still(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("never")
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.submit(f"%say before\n%gate {gate}\n%say after")
        await runner.next(TextDelta)
        await runner.interrupt()
        assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
        assert (await runner.turn("second")).outcome is TurnOutcome.COMPLETED
        open_gate(gate)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def hook_of(scripted: ScriptedClaude) -> tuple[str, str]:
    """Where the agent that runs posts its hooks, and with which header."""
    started = scripted.recorded("start")[-1]
    return started["hook_url"], started["authorization"]


def head(url: str, authorization: str, length: int) -> bytes:
    target = urlsplit(url)
    return (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {length}\r\n"
        f"Authorization: {authorization}\r\n\r\n"
    ).encode()


async def posted(url: str, authorization: str, body: bytes) -> int:
    """The status that a hook is answered with; 0 where the runner hangs up."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    writer.write(head(url, authorization, len(body)) + body)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.readline()
    writer.close()
    return int(answer.split()[1]) if answer else 0


async def refused_upload(url: str, authorization: str, *, size: int) -> bool:
    """Whether a body of this size is cut off rather than taken."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    writer.write(head(url, authorization, size))
    try:
        for _ in range(size >> 16):
            writer.write(b"x" * (1 << 16))
            await writer.drain()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.readline()
    except ConnectionError:
        return True
    finally:
        writer.close()
    return answer == b"" or answer.split()[1] == b"413"
