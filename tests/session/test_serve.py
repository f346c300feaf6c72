"""`repobridge serve` with the real CLI: waking, sleeping, crashing, ending."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from repobridge.process import descendants
from tests.fakes.anthropic import FakeAnthropic, Gate, Text, bash
from tests.live_serve import (
    LiveServe,
    finished,
    live_serve,
    lives,
    make_environment,
    run,
    saying,
    write_config,
)


@pytest.fixture
async def serve(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveServe]:
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as live:
        yield live


async def test_a_sleeping_bridge_is_told_asleep_and_remembers_when_it_wakes(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Text(["echo: ", gate, "the heron"]))
    async with live_serve(
        tmp_path, repository, claude=claude_path, api=anthropic_api, idle_timeout="1500ms"
    ) as serve:
        async with serve.terminal("chat", "demo") as terminal:
            terminal.type("remember the heron\r")
            await gate.reached()
            runner = serve.runner_pid()
            await gate.open()
            await terminal.shows("echo: ")
            await terminal.shows("LLM stopped due to idle timeout (1.5s)")
            assert not lives(runner)
            assert "stopping idle llm repo=demo idle=" in await serve.logged("stopping idle llm")
            status = await serve.chat("-m", "/status")
            assert (status.code, status.out) == (0, "LLM: not running (repo: demo)\n")
            terminal.type("what was it?\r")
            await terminal.shows("echo: ", times=2)
        first, second = anthropic_api.requests[-1].prompts
        assert ("remember the heron" in first, "what was it?" in second) == (True, True)
        assert "resumed=true" in await serve.logged("started llm session", times=2)


async def test_without_resume_a_woken_session_is_empty(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_serve(
        tmp_path,
        repository,
        claude=claude_path,
        api=anthropic_api,
        idle_timeout="1s",
        defaults="  resume_session: false\n",
    ) as serve:
        await serve.chat("-m", "remember the heron")
        await serve.logged("stopping idle llm")
        await serve.chat("-m", "hello")
    assert len(anthropic_api.requests[-1].prompts) == 1


async def test_sigterm_in_mid_turn_ends_everything_and_the_turn_is_accounted_for(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.when("the long one", Text(["beginning ", gate, "end"]))
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as serve:
        asking = await serve.start_chat("-m", "the long one")
        await gate.reached()
        queued = await serve.start_chat("-m", "and this one waits")
        await saying(queued, "queued: next in line")
        family = [process.pid for process in descendants(serve.process.pid)]
        assert len(family) >= 2  # the runner and the CLI
        assert await serve.stop() == 0
        assert not any(map(lives, family))
        assert not (tmp_path / "run/repobridge/serve.sock").exists()
        # Either its end is still told (3: interrupted), or serve is gone first (1).
        assert (await finished(asking)).code in {1, 3}
        assert (await finished(queued)).code == 1
    await gate.open()
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as serve:
        # Nobody asks: what was open is taken up by itself.
        await anthropic_api.wait_for_request(
            lambda request: "and this one waits" in request.last_user_text
        )
        status = await serve.chat("-m", "/status")
        assert status.code == 0


async def test_a_second_signal_ends_at_once(serve: LiveServe, anthropic_api: FakeAnthropic) -> None:
    gate = Gate()
    anthropic_api.script(Text([gate, "never"]))
    asking = await serve.start_chat("-m", "hello")
    await gate.reached()
    runner = serve.runner_pid()
    os.kill(runner, signal.SIGSTOP)  # it would take its whole grace
    serve.process.send_signal(signal.SIGINT)
    await serve.logged("shutting down")
    await serve.stop(signal.SIGINT)
    assert not lives(runner)
    assert not any("outlived its grace" in line for line in serve.log)
    await finished(asking)


async def test_a_runner_killed_in_mid_turn_starts_again_and_accounts_for_the_turn(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.when("count the birds", Text(["one ", gate, "two"]))
    asking = await serve.start_chat("-m", "count the birds")
    await gate.reached()
    runner = serve.runner_pid()
    agents = [process.pid for process in descendants(runner)]
    os.kill(runner, signal.SIGKILL)
    crashed = await serve.logged("runner crashed")
    assert 'error="signal 9"' in crashed
    await gate.open()
    ran = await finished(asking)
    assert "crashed (signal 9); it starts again and takes up what was open." in ran.err
    assert not any(map(lives, agents))
    # It goes on, or it is told to be lost; never is it silently dropped.
    assert (ran.code, ran.out) == (0, "one two\n") or (ran.code, "lost:" in ran.err) == (1, True)
    after = await serve.chat("-m", "and then?")
    assert after.code == 0, after.err


async def test_a_runner_that_keeps_crashing_is_left_alone_until_the_next_message(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(lambda _: Text([gate, "at last"]))
    async with serve.terminal("chat", "demo") as terminal:
        await terminal.shows("leaves")
        terminal.type("hello\r")
        for crash in range(1, 6):
            await terminal.shows("demo is awake.", times=crash)
            terminal.type("and again\r")  # so that there is work to start it for
            await serve.logged("started llm session", times=crash)
            os.kill(serve.runner_pid(), signal.SIGKILL)
            await serve.logged("runner crashed", times=crash)
        await terminal.shows("crashed 5 times in a row (signal 9). The next message tries again.")
        await gate.open()
        terminal.type("once more\r")
        await terminal.shows("at last")


async def test_messages_to_a_sleeping_bridge_keep_their_order(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    async with serve.terminal("chat", "demo") as terminal:
        await terminal.shows("leaves")
        for number in range(5):
            terminal.type(f"message {number}\r")
        await terminal.shows("  done", times=5)
    said = [request.last_user_text.splitlines()[-1] for request in anthropic_api.requests]
    assert said == [f"message {number}" for number in range(5)]


async def test_a_serve_that_was_killed_is_followed_by_one_that_takes_over(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.when("the long one", Text([gate, "done at last"]))
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as serve:
        asking = await serve.start_chat("-m", "the long one")
        await gate.reached()
        runner = serve.runner_pid()
        await serve.stop(signal.SIGKILL)
        assert lives(runner)
        await finished(asking)
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as serve:
        await serve.logged("ended a runner that an earlier serve left behind")
        assert not lives(runner)
        await gate.open()
        async with serve.terminal("chat", "demo") as terminal:
            terminal.type("still there?\r")
            await terminal.shows("echo: ")


async def test_one_address_tells_what_serve_and_its_runners_count(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    option = ("--metrics-address", "127.0.0.1:0")
    async with live_serve(
        tmp_path, repository, claude=claude_path, api=anthropic_api, arguments=option
    ) as serve:
        found = re.search(r"metrics served .*port=(\d+)", await serve.logged("metrics served"))
        assert found is not None
        url = f"http://127.0.0.1:{found[1]}/metrics"
        asleep = await asyncio.to_thread(scraped, url)
        assert asleep['repobridge_gateway_bridges{phase="ASLEEP"}'] == 1
        assert asleep["repobridge_gateway_ledger_evicted_total"] == 0
        assert not [name for name in asleep if name.startswith("repobridge_runner")]
        assert (await serve.chat("-m", "hello")).code == 0
        awake = await asyncio.to_thread(scraped, url)
        assert awake['repobridge_gateway_bridges{phase="READY"}'] == 1
        assert awake['repobridge_runner_turns_total{bridge="demo",outcome="COMPLETED"}'] == 1
        second = await run(make_environment(tmp_path / "other", None), "serve", *option[:1], "x")
        assert (second.code, "'x' is not HOST:PORT" in second.err) == (2, True)
        os.kill(serve.runner_pid(), signal.SIGSTOP)
        try:
            hung = await asyncio.to_thread(scraped, url)
        finally:
            os.kill(serve.runner_pid(), signal.SIGCONT)
        assert hung['repobridge_gateway_bridges{phase="READY"}'] == 1


def scraped(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


async def test_a_metrics_address_in_use_is_one_sentence(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = make_environment(tmp_path, anthropic_api)
        write_config(tmp_path, repository, claude=claude_path, idle_timeout="10m")
        ran = await run(environment, "serve", "--metrics-address", address)
    assert ran.code == 2
    assert f"Metrics can't be served at {address}: Address already in use." in ran.err


async def test_a_second_serve_on_the_same_socket_refuses(serve: LiveServe) -> None:
    second = await run(serve.environment, "serve")
    assert second.code == 2
    assert second.err.splitlines()[-1].endswith("another process listens there.")
    assert (await serve.chat("-m", "/help")).code == 0


async def test_an_agents_own_process_can_not_reach_the_socket(
    serve: LiveServe, anthropic_api: FakeAnthropic
) -> None:
    socket = serve.environment["XDG_RUNTIME_DIR"] + "/repobridge/serve.sock"
    command = f"repobridge chat demo --socket {socket} -m /status; echo code $?"
    anthropic_api.when("talk to yourself", bash(command), Text("tried"))
    async with serve.terminal("chat", "demo") as terminal:
        terminal.type("talk to yourself\r")
        await terminal.shows("allow? ›")
        terminal.type("y\r")
        await terminal.shows("tried")
    (result,) = anthropic_api.requests[-1].tool_results
    assert "code 2" in result.text
    assert "was closed" in result.text
    assert "peer refused" in await serve.logged("peer refused")


async def test_a_missing_agent_is_one_sentence_and_serve_lives_on(
    tmp_path: Path, repository: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_serve(
        tmp_path, repository, claude=tmp_path / "nowhere", api=anthropic_api
    ) as serve:
        first = await serve.chat("-m", "hello")
        assert first.code == 2
        assert "there is no program" in first.err
        assert "The next message tries again." in first.err
        assert "failed to create session repo=demo" in await serve.logged("failed to create")
        assert (await serve.chat("-m", "/status")).out.startswith("LLM: failed (repo: demo)")


async def test_logs_are_json_with_llm_bridges_events_and_fields(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_serve(
        tmp_path,
        repository,
        claude=claude_path,
        api=anthropic_api,
        rate_limit="{channel_rate: 0.001, channel_burst: 1}",
        arguments=("--log-format", "json"),
    ) as serve:
        await serve.chat("-m", "hello")
        held_up = await serve.chat("-m", "hello again")
        await serve.stop()
    assert held_up.code == 2
    assert "More is written to demo than is allowed at once" in held_up.err
    entries = [json.loads(line) for line in serve.log]
    by_message = {entry["msg"]: entry for entry in entries}
    assert by_message["starting bridge"]["config"] == str(tmp_path / "llm-bridge.yaml")
    started = by_message["started llm session"]
    assert (started["repo"], started["llm"], started["dir"]) == ("demo", "claude", str(repository))
    assert (by_message["message limited"]["bridge"], by_message["message limited"]["limit"]) == (
        "demo",
        "channel",
    )
    assert "shutting down" in by_message
    assert anthropic_api.key not in "\n".join(serve.log)


async def test_the_serving_terminal_talks_to_the_first_repo(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as first:
        await first.stop()
        async with first.terminal("serve") as terminal:
            before = terminal.mode()
            await terminal.shows("Talking to demo")
            terminal.type("good morning\r")
            await terminal.shows("echo: ")
            terminal.type("/select nothing\r")
            await terminal.shows("Unknown repo: nothing")
            other = await first.chat("-m", "from elsewhere")
            assert other.code == 0
            await terminal.shows("from elsewhere")
            terminal.type("\x03")
            await terminal.shows("Ctrl-C again ends serve")
            terminal.type("\x03")
            assert await terminal.ended() == 0
            assert terminal.mode() == before


async def test_a_changed_configuration_holds_while_it_serves_and_a_broken_one_does_not(
    serve: LiveServe, repository: Path, claude_path: Path
) -> None:
    write_config(serve.directory, repository, claude=claude_path, idle_timeout="soon")
    serve.process.send_signal(signal.SIGHUP)
    refused = await serve.logged("settings refused, the last good ones stay")
    assert 'llm-bridge.yaml:5: defaults.idle_timeout: \\"soon\\"' in refused
    assert (await serve.chat("-m", "good morning")).code == 0
    repo = "provider: terminal, worktrees: [{name: other, path: /tmp}]"
    write_config(serve.directory, repository, claude=claude_path, idle_timeout="1s", repo=repo)
    assert "changed=defaults.idle_timeout" in await serve.logged("settings changed")
    assert "waiting=repos" in await serve.logged("settings wait for a restart")
    await serve.logged("stopping idle llm")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "repos:\n  demo: {provider: terminal, workdir: /tmp}\n",
            [":2: repos.demo.workdir: no such key", ":2: repos.demo.working_dir: is missing"],
        ),
        (
            "repos:\n  demo: {provider: terminal, working_dir: $NOWHERE}\n",
            [":2: repos.demo.working_dir: the environment variable NOWHERE is not set"],
        ),
        ("repos: {}\n", ["names no repos"]),
        (
            "repos: {a: {provider: discord, channel_id: '1', working_dir: /tmp}}\n",
            ["has repos in Discord and no token for the bot; set providers.discord.bot_token"],
        ),
    ],
)
async def test_an_unusable_configuration_is_told_and_ends_with_2(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    environment = make_environment(tmp_path, None)
    (tmp_path / "llm-bridge.yaml").write_text(text)
    ran = await run(environment, "serve")
    assert ran.code == 2
    assert [part in line for part, line in zip(expected, ran.err.splitlines(), strict=True)] == [
        True
    ] * len(expected)
