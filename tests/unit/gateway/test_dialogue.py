from __future__ import annotations

import pytest

from repobridge.session import events as ev
from repobridge.session.events import Actor, Scope, Verdict
from repobridge_gateway.dialogue import (
    Decide,
    Dialogue,
    Leave,
    Save,
    Say,
    Select,
    Send,
    Show,
)
from repobridge_gateway.session_values import Answer, Decision

ME = Actor("uid:1", "Ada", "terminal")
REQUEST = ev.ApprovalRequested(
    "r1",
    ev.RequestKind.TOOL,
    "Bash",
    '{"command": "make"}',
    input_sha256="abc",
    suggestions=(ev.Suggestion("s1", "Bash(make)", Scope.ALWAYS),),
)
QUESTIONS = ev.QuestionAsked(
    "q1",
    (
        ev.Question(
            "a",
            "Colour",
            "Which?",
            options=(ev.QuestionOption("red"), ev.QuestionOption("blue")),
            allow_other=True,
        ),
        ev.Question(
            "b",
            "Size",
            "How big?",
            multi=True,
            options=(ev.QuestionOption("S"), ev.QuestionOption("M")),
        ),
    ),
)


def dialogue(*bodies: ev.Body) -> Dialogue:
    made = Dialogue(ME)
    for body in bodies:
        made.feed(ev.Event(body))
    return made


def decided(verdict: Verdict, **fields: object) -> Decide:
    return Decide(Decision(request_id="r1", verdict=verdict, actor=ME, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["hello", "y", "n because", "/status", "::compact", "  padded "])
def test_without_a_request_everything_is_a_message(text: str) -> None:
    assert dialogue().line(text) == Send(text)


def test_nothing_is_sent_for_an_empty_line() -> None:
    assert dialogue(REQUEST).line("  \n") is None


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("y", decided(Verdict.ALLOW, input_sha256="abc")),
        (" YES ", decided(Verdict.ALLOW, input_sha256="abc")),
        (
            "a",
            decided(Verdict.ALLOW, scope=Scope.ALWAYS, suggestion_id="s1", input_sha256="abc"),
        ),
        ("n", decided(Verdict.DENY)),
        ("no, use the\nother one", decided(Verdict.DENY, reason="use the\nother one")),
        ("n use make", decided(Verdict.DENY, reason="use make")),
        ("/skip later", decided(Verdict.DENY, reason="later")),
    ],
)
def test_a_request_is_answered_by_a_letter(text: str, action: Decide) -> None:
    assert dialogue(REQUEST).line(text) == action


@pytest.mark.parametrize("text", ["yesterday it worked", "not that", "also do this", "/cancel"])
def test_other_words_stay_a_message_while_a_request_waits(text: str) -> None:
    assert dialogue(REQUEST).line(text) == Send(text)


def test_a_reach_that_is_not_offered_is_not_given() -> None:
    assert isinstance(dialogue(REQUEST).line("s"), Say)


def test_what_was_not_shown_whole_can_be_denied_but_not_allowed() -> None:
    long = ev.ApprovalRequested(
        "r1", ev.RequestKind.TOOL, "Bash", '{"command": "%s"}' % ("x\\n" * 100)
    )
    made = dialogue(long)
    assert isinstance(made.line("y"), Say)
    assert made.line("n") == decided(Verdict.DENY)
    assert made.line("/show") == Show(long)
    made.shown("r1")
    assert made.line("y") == decided(Verdict.ALLOW)


def test_the_oldest_request_is_answered_first_and_a_resolved_one_not_at_all() -> None:
    second = ev.ApprovalRequested("r2", ev.RequestKind.TOOL, "Bash", "{}")
    made = dialogue(REQUEST, second)
    assert made.prompt == "allow? › "
    made.feed(ev.Event(ev.RequestResolved("r1", ev.RequestOutcome.ALLOWED, ev.Via.CHAT)))
    action = made.line("y")
    assert isinstance(action, Decide)
    assert action.decision.request_id == "r2"
    made.close("r2")
    assert (made.prompt, made.line("y")) == ("› ", Send("y"))


def test_questions_are_answered_one_after_the_other() -> None:
    made = dialogue(QUESTIONS)
    assert made.prompt == "answer › "
    following = made.line("2")
    assert isinstance(following, Say)
    assert following.lines[0].text == "? How big? (2 of 2)"
    answers = (Answer("a", ("blue",)), Answer("b", ("S", "M")))
    assert made.line("1, 2") == Decide(
        Decision(request_id="q1", verdict=Verdict.ANSWER, answers=answers, actor=ME)
    )


def test_a_question_takes_a_label_or_other_words_where_they_are_allowed() -> None:
    made = dialogue(QUESTIONS)
    made.line("something else")
    action = made.line("m")
    assert isinstance(action, Decide)
    assert action.decision.answers == (
        Answer("a", other="something else"),
        Answer("b", ("M",)),
    )


@pytest.mark.parametrize("text", ["3", "0", "1 9", "large"])
def test_an_answer_that_is_none_asks_again(text: str) -> None:
    made = dialogue(QUESTIONS)
    made.line("1")
    action = made.line(text)
    assert isinstance(action, Say)
    assert action.lines[0].text == "? How big?"


def test_commands_of_the_terminal_itself() -> None:
    made = dialogue()
    assert made.line("/quit") == Leave()
    assert made.line("/select other repo") == Select("other repo")
    assert made.line("/save a b.pdf") == Save("a b.pdf")
    assert isinstance(made.line("/show"), Say)
    assert isinstance(made.line("/skip"), Say)
