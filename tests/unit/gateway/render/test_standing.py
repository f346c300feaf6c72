"""How a bridge and its sessions stand is told in a few lines."""

from __future__ import annotations

from repobridge.session.events import SessionState, UsageUpdated
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus
from repobridge_gateway.render.standing import Standing, sessions_text, standing_text
from repobridge_gateway.session_values import OpenRequest, RunnerInfo, SessionInfo, Sessions

WORKING = SessionInfo(
    conversation_id="main",
    state=SessionState.WAITING,
    model="opus",
    permission_mode="plan",
    branch="a_*branch*",
    queued=2,
    turn_id="t1",
    turn_started_at=1000.0,
    usage=UsageUpdated("opus", 1200, 300, 0, 0, 500_000, 20_000, 200_000),
    attached=1,
    open_requests=(OpenRequest("r1"),),
)
IDLE = SessionInfo(conversation_id="4711", state=SessionState.READY)
RUNNER = RunnerInfo(agent_version="2.1.0")


def standing(*sessions: SessionInfo, conversation: str = "main") -> Standing:
    return Standing(
        name="pay_ments",
        status=BridgeStatus(BridgePhase.READY),
        waiting=1,
        sessions=Sessions(sessions=sessions, runner=RUNNER),
        conversation=conversation,
        idle_seconds=600.0,
        last_activity=940.0,
        problems=["Disk is *low*."],
    )


def test_what_works_says_for_how_long_with_what_and_what_waits() -> None:
    assert standing_text(standing(WORKING), now=1130.0).split("\n") == [
        r"**pay\_ments** is waiting for an answer, for 2m10s",
        "opus · 1.2k tokens in, 300 out · $0.50 · context 10% · branch `a_*branch*` · mode plan",
        "2 messages queued · 1 request to answer · 1 terminal attached · 1 message on the way",
        "-# Claude CLI 2.1.0",
        "⚠ Disk is *low*.",
    ]


def test_what_idles_says_when_it_sleeps() -> None:
    text = standing_text(standing(IDLE, conversation="4711"), now=1000.0)
    assert text.split("\n")[:3] == [
        r"**pay\_ments** is ready",
        "1 message on the way",
        "Idle for 1m0s, sleeps in 9m0s if nothing happens",
    ]
    assert "nothing has been asked here yet" in standing_text(standing(), now=1000.0)


def test_sessions_are_named_by_their_channels_and_not_all_of_very_many() -> None:
    found = Sessions(sessions=(WORKING, IDLE), runner=RUNNER)
    assert sessions_text(found, channel_id="7", now=1130.0).split("\n") == [
        "- <#7>: waiting for an answer, for 2m10s · opus · 2 messages queued"
        " · 1 request to answer · 1 terminal attached",
        "- <#4711>: ready",
    ]
    many = Sessions(sessions=(IDLE,) * 25, runner=RUNNER)
    assert sessions_text(many, channel_id="7", now=0.0).endswith("\n-# … and 5 more")
    none = Sessions(sessions=(), runner=RUNNER)
    assert sessions_text(none, channel_id="7", now=0.0).startswith("There are no sessions yet")
