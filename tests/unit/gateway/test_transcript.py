from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.asking import approval_lines, pretty_input
from repobridge_gateway.follow import Live
from repobridge_gateway.lines import Line, Tone, printable
from repobridge_gateway.notices import GatewayNotice, NoticeCode
from repobridge_gateway.transcript import Transcript

ADA = ev.Actor("uid:1", "Ada", "terminal")


def event(body: ev.Body, *, turn: str = "t1", at: float = 100.0) -> ev.Event:
    return ev.Event(body, conversation_id="main", turn_id=turn, at=at, sequence=1, log_id="l")


def texts(
    transcript: Transcript, *bodies: ev.Body, turn: str = "t1", at: float = 100.0
) -> list[str]:
    return [line.text for body in bodies for line in transcript.feed(event(body, turn=turn, at=at))]


def test_a_turn_from_its_question_to_its_end() -> None:
    transcript = Transcript()
    shown = texts(
        transcript,
        ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA, "opus"),
        ev.TextDelta("b1", 0, "# Title\nhalf a "),
        ev.TextDelta("b1", 1, "line\n"),
        ev.ToolStarted("u1", "Bash", "Bash: make test"),
        ev.ToolEnded("u1", ev.ToolOutcome.OK, 1500, "12 passed"),
        ev.TextDelta("b2", 0, "All good.", final=True),
        ev.UsageUpdated("opus", 1200, 340, 5000, 20, 12345, 20_000, 200_000),
    )
    shown += texts(transcript, ev.TurnEnded(ev.TurnOutcome.COMPLETED, None, "All good."), at=112.5)
    assert shown == [
        "● answering Ada · opus",
        "# Title",
        "half a line",
        "  → Bash: make test",
        "  ✓ Bash: make test (1.5s)",
        "All good.",
        "  done · 12.5s · 6.2k tokens in, 340 out · $0.0123 · context 10%",
    ]
    assert transcript.turn_is_open is False


def test_text_that_only_the_end_carries_is_shown() -> None:
    transcript = Transcript()
    opened = ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA)
    ended = ev.TurnEnded(ev.TurnOutcome.COMPLETED, None, "fell back\nto this\n")
    assert texts(transcript, opened, ev.TextDelta("b", 0, "before\n"), ended)[1:-1] == [
        "before",
        "fell back",
        "to this",
    ]


def test_what_was_streamed_is_not_shown_twice_although_white_space_differs() -> None:
    transcript = Transcript()
    opened = ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA)
    ended = ev.TurnEnded(ev.TurnOutcome.COMPLETED, None, "one\n\ntwo")
    assert texts(transcript, opened, ev.TextDelta("b", 0, "one\n\ntwo\n"), ended) == [
        "● answering Ada",
        "one",
        "",
        "two",
        "  done · 0s",
    ]


def test_words_after_the_end_do_not_open_the_turn_again() -> None:
    transcript = Transcript()
    texts(
        transcript,
        ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA),
        ev.TurnEnded(ev.TurnOutcome.COMPLETED),
        ev.UsageUpdated("opus", 1),
    )
    assert texts(transcript, ev.TextDelta("b", 0, "late\n")) == ["late"]
    assert transcript.turn_is_open is False


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (ev.TurnOutcome.INTERRUPTED, Line("  interrupted: because · 1s", Tone.WARNING)),
        (ev.TurnOutcome.FAILED, Line("  failed: because · 1s", Tone.ERROR)),
        (
            ev.TurnOutcome.LOST,
            Line(
                "  lost: the agent ended and could not go on; ask again: because · 1s", Tone.ERROR
            ),
        ),
        (ev.TurnOutcome.OUT_OF_MEMORY, Line("  ended: out of memory: because · 1s", Tone.ERROR)),
        (
            ev.TurnOutcome.BUDGET,
            Line("  ended: the budget is used up: because · 1s", Tone.ERROR),
        ),
    ],
)
def test_every_bad_end_says_what_and_why(outcome: ev.TurnOutcome, line: Line) -> None:
    transcript = Transcript()
    transcript.feed(event(ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA)))
    ended = ev.TurnEnded(outcome, ev.TurnError("code", "because"))
    assert transcript.feed(event(ended, at=101.0)) == [line]


def test_a_request_shows_its_whole_input_and_the_answers_that_it_takes() -> None:
    request = ev.ApprovalRequested(
        "r1",
        ev.RequestKind.TOOL,
        "Write",
        '{"file_path": "a.py", "content": "x = 1\\ny = 2\\n", "mode": 420}',
        suggestions=(
            ev.Suggestion("s1", "Write(*.py)", ev.Scope.SESSION),
            ev.Suggestion("s2", "Write(*)", ev.Scope.ALWAYS),
        ),
        title="Write a.py",
    )
    assert [line.text for line in approval_lines(request)] == [
        "? The agent asks for permission: Write a.py",
        "    file_path: a.py",
        "    content:",
        "      x = 1",
        "      y = 2",
        "    mode: 420",
        "  y allow once · s for this session (Write(*.py)) · a always (Write(*)) · n [reason] deny",
    ]


def test_a_long_input_is_cut_and_says_so() -> None:
    request = ev.ApprovalRequested(
        "r1", ev.RequestKind.TOOL, "Bash", '{"command": "%s"}' % ("x\\n" * 100)
    )
    shown = [line.text for line in approval_lines(request)]
    assert len(shown) == 43
    assert shown[-2] == "    … 61 more lines; /show prints the whole, then it can be allowed"
    assert len(approval_lines(request, longest=None)) == 103


def test_a_plan_is_shown_as_it_was_written() -> None:
    request = ev.ApprovalRequested(
        "r1", ev.RequestKind.PLAN, "ExitPlanMode", '{"plan": "1. look\\n2. mend\\n"}'
    )
    assert [line.text for line in approval_lines(request)] == [
        "? The agent asks to go ahead with this plan",
        "    1. look",
        "    2. mend",
        "  y go ahead · n [what to change] revise",
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            ev.RequestResolved("r", ev.RequestOutcome.ALLOWED, ev.Via.CHAT, ADA, ev.Scope.ALWAYS),
            "  ✓ allowed always by Ada",
        ),
        (
            ev.RequestResolved("r", ev.RequestOutcome.DENIED, ev.Via.CHAT, ADA, note="use make"),
            "  ✗ denied by Ada: use make",
        ),
        (
            ev.RequestResolved("r", ev.RequestOutcome.ALLOWED, ev.Via.TERMINAL),
            "  ✓ allowed in the live terminal",
        ),
        (
            ev.RequestResolved("r", ev.RequestOutcome.EXPIRED, ev.Via.POLICY),
            "  ✗ nobody answered in time: denied",
        ),
        (ev.Notice(ev.Severity.INFO, "Compacted"), "  the conversation was compacted"),
        (
            ev.Notice(ev.Severity.WARNING, "ProviderLimited", {"until": "12:30"}),
            "  the model's provider limits us until 12:30",
        ),
        (ev.Notice(ev.Severity.ERROR, "Newer", {"a": "1"}), "  Newer: a 1"),
        (ev.Notice(ev.Severity.WARNING, "ProviderLimited"), "  ProviderLimited"),
        (
            ev.SessionChanged(ev.SessionState.STARTING, ev.Phase.CLONING, detail="41 %"),
            "  cloning … 41 %",
        ),
        (
            ev.SessionChanged(ev.SessionState.EXITED, reason="Crashed", detail="signal 9"),
            "  the agent ended: signal 9",
        ),
        (ev.MessageChanged("m", ev.MessageState.REJECTED, reason="no"), "  not run: no"),
        (ev.FileProduced("b", "a.pdf", size=1234), "  ⇩ a.pdf (1,234 bytes); /save a.pdf"),
        (
            ev.WorkspaceChanged("main", "0123456789", dirty=True),
            "  main at 01234567, uncommitted changes",
        ),
        (
            ev.TerminalChanged(2, ADA, joined=True),
            "  Ada attached to the live terminal (2 attached)",
        ),
    ],
)
def test_what_happens_is_one_line(body: ev.Body, text: str) -> None:
    assert texts(Transcript(), body) == [text]


def test_a_place_in_the_queue_is_told_when_there_is_somebody_to_wait_for() -> None:
    transcript = Transcript()
    queued = ev.MessageChanged("m2", ev.MessageState.QUEUED, 1)
    assert texts(transcript, queued) == []
    transcript.feed(event(ev.TurnOpened(ev.TurnOrigin.MESSAGE, "m1", ADA)))
    assert texts(transcript, ev.MessageChanged("m3", ev.MessageState.QUEUED, 2)) == [
        "  queued: number 2 in line"
    ]
    assert texts(transcript, ev.MessageChanged("m3", ev.MessageState.QUEUED, 1)) == [
        "  queued: next in line"
    ]


def test_others_questions_are_shown_with_their_names_and_mine_are_not() -> None:
    transcript = Transcript(is_mine=lambda message: message == "mine")
    other = GatewayNotice(
        code=NoticeCode.ASKED, text="first\nsecond", message_id="other", author=ADA
    )
    assert transcript.feed(other) == [
        Line("Ada: first", Tone.PERSON),
        Line("  second", Tone.PERSON),
    ]
    assert transcript.feed(dataclasses.replace(other, message_id="mine")) == []
    assert transcript.feed(Live()) == []


@given(st.text())
def test_nothing_that_is_printed_moves_the_cursor(text: str) -> None:
    transcript = Transcript()
    bodies: list[ev.Body] = [
        ev.TextDelta("b", 0, text, final=True),
        ev.ToolStarted("u", text, text),
        ev.ApprovalRequested("r", ev.RequestKind.TOOL, text, text),
        ev.RequestResolved("r", ev.RequestOutcome.DENIED, ev.Via.CHAT, ADA, note=text),
        ev.QuestionAsked("q", (ev.Question("1", text, text, options=(ev.QuestionOption(text),)),)),
        ev.TurnEnded(ev.TurnOutcome.FAILED, ev.TurnError("x", text), text),
    ]
    for line in texts(transcript, *bodies):
        assert not any((c < " " and c != "\t") or "\x7f" <= c <= "\x9f" for c in line)


def test_direction_overrides_can_not_disguise_a_command() -> None:
    assert printable("rm \u202egpj.") == "rm \ufffdgpj."
    assert pretty_input('{"command": "a\\u001b[2Jb"}') == ["command: a\ufffd[2Jb"]
