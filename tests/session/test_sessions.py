"""Sessions remember across every way to end, keep apart, and share the room that there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from repobridge.session.events import (
    MessageState,
    Phase,
    SessionChanged,
    SessionState,
    ToolEnded,
    TurnEnded,
    TurnOpened,
    TurnOutcome,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.anthropic import FakeAnthropic, Gate, Text, bash
from tests.live_runner import LiveRunner, live_runner
from tests.session.conftest import git

Control = pb.ControlRequest


async def test_a_resumed_session_remembers_whatever_ended_it(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("the plum is ripe")
    [before] = await _sessions(runner)
    await _control(runner, stop=Control.Stop(reason="Tired"))
    exited = await runner.state(SessionState.EXITED)
    assert exited.reason == "Tired"
    await _remembers(runner, anthropic_api)
    await _control(runner, restart=Control.Restart())
    await _remembers(runner, anthropic_api)
    await runner.stop()
    await runner.start()
    await _remembers(runner, anthropic_api)
    await runner.kill()
    await runner.start()
    await _remembers(runner, anthropic_api)
    [after] = await _sessions(runner)
    assert (after.session_id, after.generation) == (before.session_id, before.generation)
    resumed = [
        each.resumed
        for each in runner.of(SessionChanged)
        if each.state is SessionState.READY and each.agent_version
    ]
    assert resumed == [False, True, True, True, True]
    assert [each.outcome for each in runner.of(TurnEnded)] == [TurnOutcome.COMPLETED] * 5


async def test_clear_forgets_and_keeps_the_queue(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("the plum is ripe")
    [before] = await _sessions(runner)
    gate = Gate()
    anthropic_api.script(Text(["working\n", gate, "never\n"]))
    await runner.submit("busy")
    await gate.reached()
    await runner.submit("what did I say first?")
    cleared = await _control(runner, clear=Control.Clear())
    assert cleared.session_id != before.session_id
    assert (await runner.ended("m2")).outcome is TurnOutcome.INTERRUPTED
    assert (await runner.ended("m3")).outcome is TurnOutcome.COMPLETED
    assert _asked_prompts(anthropic_api) == ("[Ann via terminal]\nwhat did I say first?",)
    [after] = await _sessions(runner)
    assert (after.session_id, after.generation) == (cleared.session_id, before.generation + 1)
    assert anthropic_api.requests[-1].session_id == after.session_id
    assert after.usage.input < before.usage.input + after.usage.input
    await runner.stop()
    await runner.start()
    await runner.turn("what did I say first?")
    assert len(_asked_prompts(anthropic_api)) == 2


async def test_a_fork_remembers_and_goes_its_own_way(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    repository = runner.settings.directory
    await runner.turn("the plum is ripe")
    (repository / "later.txt").write_text("later\n")
    git(repository, "add", "later.txt")
    git(repository, "commit", "--quiet", "--message=Later")
    (repository / "uncommitted.txt").write_text("mine\n")
    forked = await _control(runner, fork=Control.Fork(new_conversation_id="thread"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _control(runner, fork=Control.Fork(new_conversation_id="thread"))
    assert from_rpc_error(refused.value).reason == "CONVERSATION_EXISTS"
    await runner.turn("what did I say first?", conversation_id="thread")
    prompts = _asked_prompts(anthropic_api)
    assert prompts[0].endswith("the plum is ripe")
    assert anthropic_api.requests[-1].session_id == forked.session_id
    main, thread = await _sessions(runner)
    assert main.session_id != thread.session_id == forked.session_id
    place = Path(thread.working_dir)
    assert place != repository
    assert (place / "later.txt").read_text() == "later\n"
    assert not (place / "uncommitted.txt").exists()
    assert git(place, "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")
    assert thread.branch == git(place, "branch", "--show-current").strip() != main.branch
    await runner.turn("only in main")
    await runner.turn("and now?", conversation_id="thread")
    assert not any("only in main" in prompt for prompt in _asked_prompts(anthropic_api))
    await _control(runner, "thread", stop=Control.Stop())
    await runner.turn("still?", conversation_id="thread")
    assert _asked_prompts(anthropic_api)[0].endswith("the plum is ripe")


async def test_two_conversations_at_once_do_not_mix(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    words = {"main": "plum", "thread": "fig"}

    async def talk(conversation_id: str) -> None:
        for number in range(20):
            text = f"{words[conversation_id]} {number}"
            message_id = f"{conversation_id}-{number}"
            ended = await runner.turn(text, conversation_id=conversation_id, message_id=message_id)
            assert ended.final_markdown.endswith(text)

    await asyncio.gather(talk("main"), talk("thread"))
    for conversation_id, word in words.items():
        other = words["main" if conversation_id == "thread" else "thread"]
        own = [e for e in runner.events if e.conversation_id == conversation_id]
        opened = [e.body.message_id for e in own if isinstance(e.body, TurnOpened)]
        assert opened == [f"{conversation_id}-{number}" for number in range(20)]
        assert not any(other in repr(event.body) for event in own)
        asked = [r for r in anthropic_api.requests if word in r.last_user_text]
        assert len({request.session_id for request in asked}) == 1
        assert len(asked[-1].prompts) == 20
        assert all(word in prompt for prompt in asked[-1].prompts)


async def test_each_thread_works_in_a_tree_and_on_a_branch_of_its_own(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    _run_and_say(anthropic_api)
    for conversation_id in ("main", "one", "two"):
        await _approved(runner, f"run: touch made-by-{conversation_id}", conversation_id)
    sessions = await _sessions(runner)
    places = {each.conversation_id: Path(each.working_dir) for each in sessions}
    assert places["main"] == runner.settings.directory
    assert len(set(places.values())) == len({each.branch for each in sessions}) == 3
    for conversation_id, place in places.items():
        made = sorted(path.name for path in place.glob("made-by-*"))
        assert made == [f"made-by-{conversation_id}"]
        assert (place / "README.md").exists()
    (places["one"] / "README.md").write_text("# Changed\n")
    diff = await runner.stub.Diff(pb.DiffRequest(conversation_id="one"))
    assert (diff.files >= 1, "+# Changed" in diff.unified) == (True, True)
    assert "Changed" not in (await runner.stub.Diff(pb.DiffRequest(conversation_id="two"))).unified


@pytest.fixture
async def narrow(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    """A runner with room for two agents."""
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api, live_sessions=2
    ) as live:
        yield live


async def test_the_least_recently_used_agent_makes_room_and_remembers(
    narrow: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    for conversation_id in ("main", "one"):
        await narrow.turn("the plum is ripe", conversation_id=conversation_id)
    await narrow.turn("and again")
    await narrow.turn("I am the third", conversation_id="two")
    states = {each.conversation_id: each.state for each in await _sessions(narrow)}
    exited, ready = SessionState.EXITED.value, SessionState.READY.value
    assert states == {"main": ready, "one": exited, "two": ready}
    made_room = [
        (event.conversation_id, event.body.reason)
        for event in narrow.events
        if isinstance(event.body, SessionChanged) and event.body.state is SessionState.EXITED
    ]
    assert made_room == [("one", "MadeRoom")]
    await _remembers(narrow, anthropic_api, conversation_id="one")
    gates = {name: Gate() for name in ("one", "two")}
    for name, gate in gates.items():
        anthropic_api.when(f"hold {name}", Text(["held\n", gate, "done\n"]))
        await narrow.submit(f"hold {name}", conversation_id=name, message_id=f"hold-{name}")
        await gate.reached()
    waiting = await narrow.submit("no room", message_id="no-room")
    assert waiting.status.state == MessageState.QUEUED.value
    await gates["two"].open()
    await narrow.ended("no-room")
    await gates["one"].open()
    await narrow.ended("hold-one")


@pytest.fixture
async def forgetful(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    """A runner whose sessions start empty."""
    async with live_runner(
        repository,
        tmp_path / "home",
        claude=claude_path,
        api=anthropic_api,
        agent={"resume": False},
    ) as live:
        yield live


async def test_without_resume_a_session_starts_empty(
    forgetful: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await forgetful.turn("the plum is ripe")
    await forgetful.turn("and the fig")
    assert len(_asked_prompts(anthropic_api)) == 2
    await _control(forgetful, stop=Control.Stop())
    await forgetful.turn("what did I say first?")
    assert len(_asked_prompts(anthropic_api)) == 1
    [session] = await _sessions(forgetful)
    assert session.generation == 1
    phases = [each.phase for each in forgetful.of(SessionChanged) if each.phase]
    assert phases == [Phase.STARTING, Phase.STARTING]


async def test_model_and_mode_change_what_is_asked_for_and_survive_a_restart(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello")
    assert (await _control(runner, set_model=Control.SetModel(model="haiku"))).changed
    assert not (await _control(runner, set_model=Control.SetModel(model="haiku"))).changed
    await runner.turn("which are you?")
    assert "haiku" in anthropic_api.requests[-1].model
    assert len(_asked_prompts(anthropic_api)) == 2
    mode = Control.SetMode(permission_mode="acceptEdits")
    assert (await _control(runner, set_mode=mode)).changed
    await runner.stop()
    await runner.start()
    _run_and_say(anthropic_api)
    await runner.turn("run: touch without-asking")
    assert "haiku" in anthropic_api.requests[-1].model
    assert (runner.settings.directory / "without-asking").exists()
    [session] = await _sessions(runner)
    assert (session.model, session.permission_mode) == ("haiku", "acceptEdits")
    for action in (
        {"set_model": Control.SetModel(model="; rm -rf")},
        {"set_mode": Control.SetMode(permission_mode="bypassPermissions")},
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _control(runner, **action)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for allowed in ("opus", "own"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await runner.submit("x", allowed_models=[allowed])
        assert from_rpc_error(refused.value).reason == "MODEL_NOT_ALLOWED"
    await _control(runner, set_model=Control.SetModel(model="default"))
    await runner.submit("x", allowed_models=["own"])


async def test_a_directory_without_git_works(
    tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    async with live_runner(plain, tmp_path / "home", claude=claude_path, api=anthropic_api) as live:
        _run_and_say(anthropic_api)
        await _approved(live, "run: touch made", "main")
        await live.turn("hello", conversation_id="thread")
        assert (plain / "made").exists()
        assert {(each.working_dir, each.branch) for each in await _sessions(live)} == {
            (str(plain), "")
        }
        assert (await live.stub.Diff(pb.DiffRequest(conversation_id="main"))).files == 0


async def _remembers(
    runner: LiveRunner, api: FakeAnthropic, *, conversation_id: str = "main"
) -> None:
    ended = await runner.turn("what did I say first?", conversation_id=conversation_id)
    assert ended.outcome is TurnOutcome.COMPLETED
    assert _asked_prompts(api)[0] == "[Ann via terminal]\nthe plum is ripe"


def _asked_prompts(api: FakeAnthropic) -> tuple[str, ...]:
    return api.requests[-1].prompts


def _run_and_say(api: FakeAnthropic) -> None:
    """`run: COMMAND` runs the command, and then says so."""
    api.when("run: ", lambda request: bash(request.last_user_text.split("run: ")[1]), Text("done"))


async def _approved(runner: LiveRunner, text: str, conversation_id: str) -> None:
    seen = len(runner.events)
    answer = await runner.submit(text, conversation_id=conversation_id)
    asked = await runner.approval(after=seen)
    await runner.decide(asked.request_id, verdict=pb.VERDICT_ALLOW)
    await runner.ended(answer.status.message_id)
    assert runner.of(ToolEnded)


async def _control(
    runner: LiveRunner, conversation_id: str = "main", **action: object
) -> pb.ControlResponse:
    request = pb.ControlRequest(conversation_id=conversation_id, **action)  # type: ignore[arg-type]
    return await runner.stub.Control(request)


async def _sessions(runner: LiveRunner) -> list[pb.SessionInfo]:
    listed = await runner.stub.ListSessions(pb.ListSessionsRequest())
    return sorted(listed.sessions, key=lambda each: each.conversation_id)
