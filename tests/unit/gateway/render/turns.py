"""Turns as their events tell them, for the tests of rendering."""

from __future__ import annotations

from repobridge.session import events as ev
from repobridge_gateway.render.turn_view import TurnView

ADA = ev.Actor("42", "Ada", "discord")
KEY = "01J9ZK3V7Q8M4N5P6R7S8T9VWX"
ALLOWED = ev.RequestResolved("r1", ev.RequestOutcome.ALLOWED, ev.Via.CHAT, ADA, ev.Scope.ONCE)

TURN: tuple[tuple[float, ev.Body], ...] = (
    (0.0, ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA, "opus")),
    (1.0, ev.TextDelta("b1", 0, "I'll look at the limits first.", final=True)),
    (1.5, ev.ToolStarted("u1", "Read", "Read: src/limits.py")),
    (1.6, ev.ToolEnded("u1", ev.ToolOutcome.OK, 40)),
    (1.7, ev.ToolStarted("u2", "Read", "Read: src/bucket.py")),
    (1.8, ev.ToolEnded("u2", ev.ToolOutcome.OK, 40)),
    (1.9, ev.ToolStarted("u3", "Read", "Read: tests/test_limits.py")),
    (2.0, ev.ToolEnded("u3", ev.ToolOutcome.OK, 40)),
    (3.0, ev.ToolStarted("u4", "Task", "Task: Find who calls refill")),
    (3.5, ev.TextDelta("s1", 0, "Searching.\nThree callers found", parent_tool_use_id="u4")),
    (3.6, ev.ToolStarted("u5", "Grep", "Grep: refill\\(")),
    (3.7, ev.ToolEnded("u5", ev.ToolOutcome.OK, 60)),
    (9.0, ev.ToolEnded("u4", ev.ToolOutcome.OK, 6000)),
    (9.5, ev.ToolStarted("u6", "Bash", "Bash: make test")),
    (9.6, ev.ApprovalRequested("r1", ev.RequestKind.TOOL, "Bash", '{"command": "make test"}')),
    (30.0, ALLOWED),
    (33.5, ev.ToolEnded("u6", ev.ToolOutcome.FAILED, 3500, "2 failed, 10 passed\nE assert")),
    (34.0, ev.ToolStarted("u7", "Bash", "Bash: rm -rf build")),
    (34.5, ev.ToolEnded("u7", ev.ToolOutcome.DENIED)),
    (35.0, ev.UsageUpdated("claude-opus", 1200, 3400, 50_000, 20, 0, 20_000, 200_000)),
    (36.0, ev.TextDelta("b2", 0, "Two tests fail, because `refill` ")),
    (36.5, ev.TextDelta("b2", 1, "rounds down.", final=True)),
)
END = (
    40.0,
    ev.TurnEnded(ev.TurnOutcome.COMPLETED, None, "Two tests fail, because `refill` rounds down."),
)
COST = (41.0, ev.UsageUpdated("claude-opus", 1200, 3400, 50_000, 20, 123_400, 20_000, 200_000))


def events(*told: tuple[float, ev.Body], turn: str = "t1") -> list[ev.Event]:
    """Events in their envelopes, from second 1,000 on."""
    return [
        ev.Event(body, "main", turn_id=turn, log_id="log", sequence=number, at=1000.0 + at)
        for number, (at, body) in enumerate(told, 1)
    ]


def view_of(*told: tuple[float, ev.Body]) -> TurnView:
    """The turn that was told."""
    return TurnView("t1").feed_all(events(*told))
