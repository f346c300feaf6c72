"""What is live in a runner, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from repobridge import durations
from repobridge.session.events import SessionState
from repobridge_gateway.lines import one_line
from repobridge_gateway.session_values import SessionInfo, Sessions

_HEADER = ("CONVERSATION", "STATE", "MODEL", "BRANCH", "QUEUED", "WAITING", "IDLE")


def sessions_table(sessions: Sessions, *, now: float) -> str:
    """One line a session under a header, as kubectl does it."""
    if not sessions.sessions:
        return "No sessions yet."
    return table([_HEADER, *(_row(each, now) for each in sessions.sessions)])


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as what stands in them, three spaces apart."""
    clean = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    lines = ("   ".join(map(str.ljust, row, widths)) for row in clean)
    return "\n".join(line.rstrip() for line in lines)


def _row(session: SessionInfo, now: float) -> Sequence[str]:
    state = session.state or SessionState.EXITED
    idle = "-"
    if session.last_activity and not session.turn_id:
        idle = durations.text(max(0, round(now - session.last_activity)) * durations.SECOND)
    return (
        session.conversation_id,
        state.name.capitalize(),
        session.model or "-",
        session.branch or "-",
        str(session.queued),
        str(len(session.open_requests)),
        idle,
    )
