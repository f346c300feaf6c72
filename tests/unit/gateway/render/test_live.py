from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.render.fences import scan
from repobridge_gateway.render.live import render_closed, render_live
from repobridge_gateway.render.measure import units
from repobridge_gateway.render.pieces import Piece
from repobridge_gateway.render.turn_view import TurnView
from tests.unit.gateway.render.pictures import assert_is_golden, picture
from tests.unit.gateway.render.turns import COST, END, KEY, TURN, events, view_of


def test_a_turn_as_it_is_watched() -> None:
    view = TurnView("t1")
    pieces: list[Piece] = []
    for event in events(*TURN, END, COST):
        view.feed(event)
        if event.sequence in {1, 2, 10, 15, 21, 23, 25}:
            pieces.append(render_live(view, event.at + 0.4, reply_to="17", key=KEY))
    assert_is_golden("live", picture(pieces))


def header(*told: tuple[float, ev.Body], now: float = 1010.0) -> str:
    return render_live(view_of(*told), now).content.split("\n")[0]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (ev.TurnOrigin.MESSAGE, "⏳ Working · 10s · opus"),
        (ev.TurnOrigin.TERMINAL, "⏳ Answering in the live terminal · 10s · opus"),
        (ev.TurnOrigin.CRON, "⏳ Running a scheduled task · 10s · opus"),
        (ev.TurnOrigin.BACKGROUND, "⏳ Looking at a background task · 10s · opus"),
        (ev.TurnOrigin.REGENERATE, "⏳ Answering again · 10s · opus"),
        (ev.TurnOrigin.RESUME, "⏳ Going on after a restart · 10s · opus"),
    ],
)
def test_the_header_says_what_it_works_on(origin: ev.TurnOrigin, words: str) -> None:
    assert header((0, ev.TurnOpened(origin, model="opus"))) == words


def test_the_header_says_for_what_it_waits() -> None:
    tool = ev.ApprovalRequested("r1", ev.RequestKind.TOOL, "Bash")
    plan = replace(tool, request_id="r2", kind=ev.RequestKind.PLAN)
    question = ev.QuestionAsked("r3")
    assert header((5, tool)) == "✋ Waiting for approval · 5s"
    assert header((5, plan)) == "✋ Waiting for a look at the plan · 5s"
    assert header((5, question)) == "✋ Waiting for your answer · 5s"
    assert header((5, tool), (6, question)) == "✋ Waiting for approval and 1 more · 5s"


def test_nothing_is_known_yet_and_it_is_shown_all_the_same() -> None:
    assert render_live(TurnView("t1"), 1.0) == Piece("⏳ Working")


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        (
            ev.Notice(ev.Severity.WARNING, "ProviderLimited", {"until": "14:00"}),
            "-# ⚠ The model's provider limits us until 14:00.",
        ),
        (
            ev.Notice(ev.Severity.INFO, "Compacted", {"trigger": "auto"}),
            "-# The conversation was getting long, so it was summed up.",
        ),
        (ev.Notice(ev.Severity.ERROR, "New", {"a": "@here\n1"}), "-# ⚠ New: a @\u200bhere 1"),
    ],
)
def test_the_last_notice_is_told(notice: ev.Notice, line: str) -> None:
    assert render_live(view_of((0, notice)), 1.0).content.split("\n")[1] == line


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (ev.TurnOutcome.COMPLETED, "-# ✓ Done · 1m5s"),
        (ev.TurnOutcome.INTERRUPTED, "-# – Stopped · 1m5s"),
        (ev.TurnOutcome.FAILED, "-# ✗ Failed · 1m5s"),
        (ev.TurnOutcome.LOST, "-# ✗ Lost · 1m5s"),
        (ev.TurnOutcome.OUT_OF_MEMORY, "-# ✗ Out of memory · 1m5s"),
        (ev.TurnOutcome.BUDGET, "-# – Out of budget · 1m5s"),
    ],
)
def test_every_end_is_told_in_the_shrunk_form(outcome: ev.TurnOutcome, words: str) -> None:
    opened = (0.0, ev.TurnOpened(ev.TurnOrigin.MESSAGE))
    view = view_of(opened, (65.0, ev.TurnEnded(outcome)))
    assert render_closed(view) == Piece(words)
    assert render_live(view, 9e9) == Piece(words)


def test_a_long_text_shows_its_end_as_code_where_it_is_code() -> None:
    code = "\n".join(f"line {number}" for number in range(2000))
    shown = render_live(view_of((0, ev.TextDelta("b", 0, f"```py\n{code}"))), 1000.0).content
    assert shown.startswith("⏳ Working\n\n…\n```py\nline ")
    assert shown.endswith("\nline 1999\n```")
    assert 1700 < units(shown) <= 2000


bodies = st.one_of(
    st.builds(
        ev.TextDelta,
        st.sampled_from("abc"),
        st.integers(0, 30),
        st.one_of(
            st.text(), st.sampled_from(["```py\n", "\n", "x" * 3000, "| a |\n|---|\n", "> "])
        ),
        parent_tool_use_id=st.sampled_from(["", "", "u"]),
    ),
    st.builds(ev.ToolStarted, st.sampled_from("uvw"), st.text(min_size=1), st.text()),
    st.builds(
        ev.ToolEnded, st.sampled_from("uvw"), st.sampled_from(ev.ToolOutcome), summary=st.text()
    ),
    st.builds(
        ev.Notice,
        st.sampled_from(ev.Severity),
        st.text(),
        st.dictionaries(st.text(), st.text(), max_size=3),
    ),
    st.builds(ev.ApprovalRequested, st.text(), st.sampled_from(ev.RequestKind), st.text()),
    st.builds(ev.UsageUpdated, st.text(), *[st.integers(0, 10**9)] * 7),
    st.builds(ev.TurnOpened, st.sampled_from(ev.TurnOrigin), model=st.text()),
    st.builds(ev.TurnEnded, st.sampled_from(ev.TurnOutcome)),
)


@given(st.lists(st.tuples(st.floats(0, 1e6), bodies), max_size=25))
def test_whatever_a_turn_tells_it_can_be_sent(told: list[tuple[float, ev.Body]]) -> None:
    piece = render_live(view_of(*told), 2000.0, key=KEY)
    assert 0 < units(piece.content) <= 2000
    assert not scan(piece.content)[-1].leaves_open
