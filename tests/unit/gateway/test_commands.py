from __future__ import annotations

import pytest

from repobridge.session.events import MessageKind, SessionState, UsageUpdated
from repobridge_gateway.commands import Command, Reply, ToAgent, ToGateway, parse, status_text
from repobridge_gateway.session_values import OpenRequest, RunnerInfo, SessionInfo, Sessions


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/status", Command.STATUS),
        (" /Cancel now ", Command.CANCEL),
        ("/restart", Command.RESTART),
        ("/help", Command.HELP),
        ("/clear", Command.CLEAR),
        ("/list-repos", Command.LIST_REPOS),
    ],
)
def test_our_commands_are_ours(text: str, command: Command) -> None:
    assert parse(text) == ToGateway(command)


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("::compact", "/compact"),
        (" ::model opus ", "/model opus"),
    ],
)
def test_two_colons_are_the_agents_own_command(text: str, agent: str) -> None:
    assert parse(text) == ToAgent(MessageKind.AGENT_COMMAND, agent)


@pytest.mark.parametrize(
    "text", ["hello", "/etc/hosts is odd", "/statusquo", "/", "::", ":: x", "!rm -rf", "a /status"]
)
def test_everything_else_is_text_as_it_stands(text: str) -> None:
    assert parse(text) == ToAgent(MessageKind.TEXT, text)


@pytest.mark.parametrize("text", ["/clone url", "/worktrees", "/select x"])
def test_llm_bridges_other_commands_are_answered_rather_than_asked(text: str) -> None:
    assert isinstance(parse(text), Reply)


def test_status_says_what_llm_bridge_says_and_more() -> None:
    session = SessionInfo(
        conversation_id="main",
        state=SessionState.WAITING,
        model="opus",
        branch="main",
        queued=2,
        turn_id="t1",
        turn_started_at=100.0,
        attached=1,
        open_requests=(OpenRequest("r1", 3),),
        usage=UsageUpdated("opus", 1200, 340, 5000, 20, 12345, 20_000, 200_000),
    )
    runner = RunnerInfo(agent_version="2.1.197")
    sessions = Sessions(sessions=(session,), runner=runner)
    assert status_text(
        name="payments", llm="claude", sessions=sessions, conversation_id="main", now=162.4
    ) == (
        "LLM: claude 2.1.197 waiting for an answer (repo: payments, branch: main, model: opus, "
        "this turn: 1m2s, queued: 2, waiting for an answer: 1, attached terminals: 1)\n"
        "Usage: 1,200 tokens in, 340 out, cache 5,000 read, 20 written, $0.0123; "
        "context 10% full"
    )
    assert status_text(
        name="payments",
        llm="claude",
        sessions=Sessions(sessions=(), runner=RunnerInfo()),
        conversation_id="main",
    ) == ("LLM: claude ready (repo: payments); nothing has been asked yet")
