"""`repobridge chat` with the real CLI: one question, and several people at one session."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.anthropic import ApiError, FakeAnthropic, Gate, Text, ToolUse, bash
from tests.live_serve import LiveServe, finished, live_serve, make_environment, run, saying


@pytest.fixture
async def serve(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveServe]:
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as live:
        yield live


async def test_the_answer_is_on_stdout_and_what_happens_on_stderr(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.when("say it", Text("# Häuser\n\n- 鷺 🐦\n- two"))
    ran = await serve.chat("-m", "say it")
    assert (ran.code, ran.out) == (0, "# Häuser\n\n- 鷺 🐦\n- two\n")
    assert "  done · " in ran.err
    from_stdin = await serve.chat("-m", "-", stdin=b"say it\nin two lines\n")
    assert (from_stdin.code, from_stdin.out) == (0, "# Häuser\n\n- 鷺 🐦\n- two\n")
    assert "in two lines" in anthropic_api.requests[-1].last_user_text


async def test_a_failed_turn_is_exit_code_1_with_the_reason(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.when("break", ApiError(400))
    ran = await serve.chat("-m", "break")
    assert (ran.code, "  failed" in ran.err) == (1, True), ran.err


async def test_ctrl_c_interrupts_the_turn_and_is_exit_code_3(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.when("for ever", Text(["on and on\n", gate, "never"]))
    asking = await serve.start_chat("-m", "for ever")
    await gate.reached()
    asking.send_signal(signal.SIGINT)
    ran = await finished(asking)
    assert (ran.code, "  interrupted" in ran.err) == (3, True), ran.err
    assert (await serve.chat("-m", "hello")).code == 0


async def test_what_can_not_be_asked_is_exit_code_2_with_one_sentence(
    serve: LiveServe, tmp_path: Path
) -> None:
    unknown = await run(serve.environment, "chat", "nowhere", "-m", "hello")
    assert (unknown.code, unknown.err) == (2, 'serve has no repo "nowhere"; it has: demo.\n')
    empty = await serve.chat("-m", "   ")
    assert (empty.code, empty.err) == (2, "The message is empty.\n")
    forbidden = await serve.chat("-m", "::login")
    assert (forbidden.code, "login" in forbidden.err) == (2, True)
    elsewhere = make_environment(tmp_path / "elsewhere", None)
    alone = await run(elsewhere, "chat", "demo", "-m", "hello")
    socket = tmp_path / "elsewhere/run/repobridge/serve.sock"
    assert (alone.code, alone.err) == (
        2,
        f"repobridge serve does not run (nothing listens at {socket}); "
        "start it with: repobridge serve --config FILE\n",
    )


async def test_text_commands_are_answered_by_the_gateway(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    assert (await serve.chat("-m", "/status")).out == "LLM: not running (repo: demo)\n"
    assert (await serve.chat("-m", "/cancel")).out == "LLM not running\n"
    assert (await serve.chat("-m", "/help")).out.startswith("Commands:\n  /help")
    await serve.chat("-m", "remember the heron")
    status = (await serve.chat("-m", "/STATUS")).out
    assert status.startswith("LLM: claude 2.")
    assert "running (repo: demo, branch: main" in status
    assert (await serve.chat("-m", "/cancel")).out == "Nothing is running\n"
    restarted = await serve.chat("-m", "/restart")
    assert restarted.out == "Restarted; the session remembers the conversation.\n"
    await serve.chat("-m", "what was it?")
    assert len(anthropic_api.requests[-1].prompts) == 2
    assert (await serve.chat("-m", "/clear")).code == 0
    await serve.chat("-m", "a new leaf")
    assert len(anthropic_api.requests[-1].prompts) == 1
    assert (await serve.chat("-m", "/nonsense stays text")).code == 0
    assert "/nonsense stays text" in anthropic_api.requests[-1].last_user_text


async def test_the_agents_own_command_runs(serve: LiveServe, anthropic_api: FakeAnthropic) -> None:
    for text in ("remember the heron", "and the crane", "and the stork"):
        await serve.chat("-m", text)
    ran = await serve.chat("-m", "::compact")
    assert ran.code == 0, ran.err
    assert "compacted" in ran.err
    assert any("heron" in str(request.body) for request in anthropic_api.side_requests)


async def test_two_terminals_share_one_session_and_see_who_asked(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.when("from the left", Text("an answer for both"))
    async with (
        serve.terminal("chat", "demo") as left,
        serve.terminal("chat", "demo") as right,
    ):
        await left.shows("leaves")
        await right.shows("leaves")
        left.type("from the left\r")
        await left.shows("an answer for both")
        seen = await right.shows("an answer for both")
        assert ": from the left" in seen
        right.type("\x1b[200~two\nlines\x1b[201~")
        await right.shows("two⏎lines")
        right.type("\r")
        await left.shows(": two\n  lines")
        await left.shows("  done", times=2)
        assert "two\nlines" in anthropic_api.requests[-1].last_user_text


async def test_a_request_is_answered_at_any_terminal_and_the_first_wins(
    serve: LiveServe, anthropic_api: FakeAnthropic, repository: Path
) -> None:
    anthropic_api.when("make a file", bash("touch made"), Text("it is made"))
    anthropic_api.when("make another", bash("touch other"), Text("it is not made"))
    async with serve.terminal("chat", "demo") as left:
        left.type("make a file\r")
        await left.shows("command: touch made")
        async with serve.terminal("chat", "demo") as right:
            # It came late, and is told what waits.
            await right.shows("command: touch made")
            await right.shows("allow? ›")
            right.type("y\r")
            await left.shows("  ✓ allowed by ")
            await left.shows("it is made")
            assert (repository / "made").exists()
            right.type("make another\r")
            await left.shows("command: touch other")
            left.type("n use the other directory\r")
            await right.shows(": use the other directory")
            await right.shows("it is not made")
        assert not (repository / "other").exists()
    (result,) = anthropic_api.requests[-1].tool_results
    assert (result.is_error, "use the other directory" in result.text) == (True, True)


async def test_a_question_is_answered_by_number_and_by_words(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    questions = [
        {
            "question": "Which colour?",
            "header": "Colour",
            "multiSelect": False,
            "options": [
                {"label": "red", "description": "warm"},
                {"label": "blue", "description": "cold"},
            ],
        },
        {
            "question": "Which sizes?",
            "header": "Sizes",
            "multiSelect": True,
            "options": [
                {"label": "small", "description": "s"},
                {"label": "large", "description": "l"},
            ],
        },
    ]
    anthropic_api.when(
        "ask me", ToolUse("AskUserQuestion", {"questions": questions}), Text("thank you")
    )
    async with serve.terminal("chat", "demo") as terminal:
        terminal.type("ask me\r")
        await terminal.shows("? Which colour? (1 of 2)")
        await terminal.shows("answer ›")
        terminal.type("9\r")
        await terminal.shows("? Which colour?", times=2)
        terminal.type("2\r")
        await terminal.shows("? Which sizes? (2 of 2)")
        terminal.type("1,2\r")
        await terminal.shows("  ✓ answered by ")
        await terminal.shows("thank you")
    (result,) = anthropic_api.requests[-1].tool_results
    assert ("blue" in result.text, "small, large" in result.text) == (True, True), result.text


async def test_a_message_waits_its_turn_and_ctrl_c_lets_it_in(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.when("for ever", Text(["on and on\n", gate, "never"]))
    async with serve.terminal("chat", "demo") as terminal:
        terminal.type("for ever\r")
        await gate.reached()
        await terminal.shows("● answering")
        terminal.type("me next\r")
        await terminal.shows("  queued: next in line")
        terminal.type("\x03")
        await terminal.shows("interrupting …")
        await terminal.shows("  interrupted")
        await terminal.shows("  done")
        assert "me next" in anthropic_api.requests[-1].last_user_text
        terminal.type("\x04")
        assert await terminal.ended() == 0


async def test_lines_from_a_pipe_are_messages_and_answers_in_turn(
    serve: LiveServe, anthropic_api: FakeAnthropic, repository: Path
) -> None:
    anthropic_api.when("make a file", bash("touch made"), Text("it is made"))
    ran = await serve.chat(stdin=b"make a file\ny\nand thanks\n")
    assert ran.code == 0, ran.err
    assert ran.out.index("it is made") < ran.out.index("and thanks")
    assert (repository / "made").exists()


async def test_the_terminal_is_given_back_as_it_was(serve: LiveServe) -> None:
    for how in (signal.SIGTERM, None):
        async with serve.terminal("chat", "demo") as terminal:
            before = terminal.mode()
            await terminal.shows("leaves")
            assert terminal.mode() != before
            if how:
                terminal.signal(how)
            else:
                terminal.type("/quit\r")
            await terminal.ended()
            assert terminal.mode() == before


async def test_a_question_that_waits_for_approval_says_so_on_stderr(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.when("make a file", bash("touch made"), Text("it is made"))
    asking = await serve.start_chat("-m", "make a file")
    await saying(asking, "n [reason] deny")
    async with serve.terminal("chat", "demo") as terminal:
        await terminal.shows("allow? ›")
        terminal.type("y\r")
        ran = await finished(asking)
    assert (ran.code, ran.out) == (0, "it is made\n")
