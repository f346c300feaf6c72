from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.render.custom_id import CustomId, Kind, Verb, parse_custom_id
from repobridge_gateway.render.questions import (
    answer_modal,
    chosen,
    is_answered,
    render_question,
    render_resolved_question,
    written,
)
from repobridge_gateway.session_values import Answer
from tests.unit.gateway.render.pictures import assert_is_golden, picture
from tests.unit.gateway.render.turns import ADA, KEY


def question(
    number: int, count: int, *, multi: bool = False, other: bool = True, text: str = "Which one?"
) -> ev.Question:
    options = tuple(
        ev.QuestionOption(f"Option {each}", f"What {each} is" if each < 3 else "")
        for each in range(1, count + 1)
    )
    return ev.Question(f"q{number}", f"Choice {number}", text, multi, options, other)


def asks(*questions: ev.Question) -> ev.QuestionAsked:
    return ev.QuestionAsked("r1", questions, 1800.0)


SEVERAL = asks(
    question(0, 2),
    question(1, 4, multi=True, other=False),
    question(2, 0),
    question(3, 3),
    question(4, 2),
)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("buttons", asks(question(0, 3))),
        ("list", asks(question(0, 7, other=False))),
        ("several-of-a-list", asks(question(0, 3, multi=True))),
        ("in-words", asks(question(0, 0))),
        ("several", SEVERAL),
    ],
)
def test_a_question_is_answered_with_what_suits_it(name: str, asked: ev.QuestionAsked) -> None:
    assert_is_golden(f"question-{name}", picture([render_question(asked, key=KEY, reply_to="17")]))


def test_answers_so_far_are_shown_and_the_next_questions_move_up() -> None:
    answers = [Answer("q0", ("Option 2",)), Answer("q2", other="my *own*")]
    piece = render_question(SEVERAL, key=KEY, answers=answers)
    assert_is_golden("question-half-answered", picture([piece]))


def test_more_options_than_a_list_holds_are_answered_in_writing() -> None:
    asked = asks(question(0, 40, other=False))
    piece = render_question(asked, key=KEY)
    [row] = piece.components
    found = [parse_custom_id(item.custom_id) for item in row.items]
    assert [each.verb for each in found if each] == [Verb.WRITE, Verb.SKIP]
    assert "40. **Option 40**" in piece.content
    assert written(asked.questions[0], " 40 ") == Answer("q0", ("Option 40",))
    assert written(asked.questions[0], "41") is None


def test_a_long_question_is_a_file_and_whole() -> None:
    asked = asks(question(0, 2, text="long " * 600))
    piece = render_question(asked, key=KEY)
    [file] = piece.files
    assert file.name == "question.md"
    assert file.data.decode().count("long") == 600
    assert piece.content.startswith("✋ **The agent has a question.**\nlong long")
    assert piece.content.endswith("`question.md`.\n-# It goes on without an answer <t:1800:R>.")


def click(*numbers: int, verb: Verb = Verb.CHOOSE, kind: Kind = Kind.QUESTION) -> CustomId:
    return CustomId(kind, KEY, verb, numbers)


@pytest.mark.parametrize(
    ("what", "values", "answer"),
    [
        (click(0, 1), (), Answer("q0", ("Option 2",))),
        (click(0), ("0",), Answer("q0", ("Option 1",))),
        (click(1), ("0", "3", "0"), Answer("q1", ("Option 1", "Option 4"))),
        (click(0), ("0", "1"), None),
        (click(0), ("2",), None),
        (click(0), ("-1",), None),
        (click(0), ("00",), None),
        (click(0), (), None),
        (click(0, 2), (), None),
        (click(9), ("0",), None),
        (click(verb=Verb.SKIP), (), None),
        (click(kind=Kind.TURN, verb=Verb.STOP), (), None),
    ],
)
def test_a_click_is_an_answer_or_none(
    what: CustomId, values: tuple[str, ...], answer: Answer | None
) -> None:
    assert chosen(SEVERAL, what, values) == answer


def test_own_words_are_taken_where_they_are_allowed() -> None:
    assert written(question(0, 2), " something else ") == Answer("q0", other="something else")
    assert written(question(0, 2), "option 1") == Answer("q0", ("Option 1",))
    assert written(question(0, 2), "1") == Answer("q0", other="1")
    assert written(question(0, 2, other=False), "else") is None
    assert written(question(0, 2), "  ") is None


def test_all_questions_need_an_answer() -> None:
    asked = asks(question(0, 2), question(1, 2))
    assert is_answered(asked, [Answer("q0", ("Option 1",))]) is False
    assert is_answered(asked, [Answer("q1"), Answer("q0")]) is True


def test_the_form_names_the_question() -> None:
    modal = answer_modal(asks(question(0, 2, text="x" * 300)), 0, key=KEY)
    [field] = modal.inputs
    assert (field.label, len(field.description)) == ("Choice 0", 100)
    found = parse_custom_id(modal.custom_id)
    assert found == click(0, verb=Verb.WRITE)


def resolved(outcome: ev.RequestOutcome, by: ev.Actor | None = ADA) -> ev.RequestResolved:
    return ev.RequestResolved("r1", outcome, ev.Via.CHAT, by)


def test_the_resolved_form_says_what_was_answered() -> None:
    asked = asks(question(0, 2), question(1, 2))
    answers = [Answer("q0", ("Option 1",)), Answer("q1", other="mine")]
    done = render_resolved_question(
        asked, resolved(ev.RequestOutcome.ANSWERED), at=9.0, answers=answers
    )
    assert done.content == (
        "✓ Answered by Ada · <t:9:t>\n"
        "> Which one?\n> **Option 1**\n"
        "> Which one?\n> **mine**"
    )  # fmt: skip
    skipped = render_resolved_question(asked, resolved(ev.RequestOutcome.DENIED), at=9.0)
    assert skipped.content.startswith("⊘ Skipped by Ada · <t:9:t>\n> Which one?")
    expired = render_resolved_question(asked, resolved(ev.RequestOutcome.EXPIRED, None), at=9.0)
    assert expired.content.startswith("– Nobody answered in time")


texts = st.one_of(st.text(), st.sampled_from(["x" * 500, "\u200b", "```", "@everyone"]))
options = st.lists(st.builds(ev.QuestionOption, texts, texts), max_size=30).map(tuple)
questions = st.builds(
    ev.Question, st.text(max_size=3), texts, texts, st.booleans(), options, st.booleans()
)


@given(
    st.lists(questions, max_size=7), st.lists(st.builds(Answer, st.text(max_size=3), other=texts))
)
def test_whatever_is_asked_it_can_be_sent(asked: list[ev.Question], given: list[Answer]) -> None:
    request = asks(*asked)
    render_question(request, key=KEY, answers=given)
    outcome = resolved(ev.RequestOutcome.ANSWERED)
    render_resolved_question(request, outcome, at=1.0, answers=given)
    for number in range(len(asked)):
        answer_modal(request, number, key=KEY)
