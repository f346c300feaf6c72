"""What a line that somebody types means here and now: a message, or the answer to a request."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from repobridge.session.events import (
    Actor,
    ApprovalRequested,
    Event,
    Question,
    QuestionAsked,
    RequestResolved,
    Scope,
    Verdict,
)
from repobridge_gateway.asking import input_lines, question_lines
from repobridge_gateway.follow import Item
from repobridge_gateway.lines import Line, Tone
from repobridge_gateway.session_values import Answer, Decision

_YES = re.compile(r"(?i)y(es)?")
_NO = re.compile(r"(?is)no?(?:[\s,:]+(?P<reason>.*))?")


@dataclass(frozen=True, slots=True)
class Send:
    """A message for the router."""

    text: str


@dataclass(frozen=True, slots=True)
class Decide:
    """An answer to a request."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Say:
    """Something to tell this person alone."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Show:
    """Print the whole input of a request."""

    request: ApprovalRequested


@dataclass(frozen=True, slots=True)
class Save:
    """Write a file that the session produced."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """Talk to another repo; empty: say which there are."""

    name: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Go."""


Action = Send | Decide | Say | Show | Save | Select | Leave | None


class Dialogue:
    """The requests that wait, and how typed lines answer them."""

    def __init__(self, me: Actor) -> None:
        self._me = me
        self._open: dict[str, ApprovalRequested | QuestionAsked] = {}
        self._answers: tuple[Answer, ...] = ()
        self._shown: set[str] = set()

    @property
    def waiting(self) -> ApprovalRequested | QuestionAsked | None:
        """The request that the next line may answer: the oldest."""
        return next(iter(self._open.values()), None)

    @property
    def prompt(self) -> str:
        """What stands before the line that is typed."""
        match self.waiting:
            case ApprovalRequested():
                return "allow? › "
            case QuestionAsked():
                return "answer › "
        return "› "

    def feed(self, item: Item) -> None:
        """Learns of requests that open and close."""
        if not isinstance(item, Event):
            return
        match item.body:
            case (ApprovalRequested() | QuestionAsked()) as request:
                self._open[request.request_id] = request
            case RequestResolved(request_id=request_id):
                self.close(request_id)

    def close(self, request_id: str) -> None:
        """Forgets a request that is over."""
        if self.waiting is not None and self.waiting.request_id == request_id:
            self._answers = ()
        self._open.pop(request_id, None)
        self._shown.discard(request_id)

    def shown(self, request_id: str) -> None:
        """Learns that somebody has seen a request's whole input."""
        self._shown.add(request_id)

    def line(self, text: str) -> Action:
        """What a typed line does."""
        stripped = text.strip()
        if not stripped:
            return None
        command = self._command(stripped)
        if command is not None:
            return command
        if stripped.startswith(("/", "::")):
            return Send(text)
        match self.waiting:
            case ApprovalRequested() as request:
                return self._approval(request, stripped) or Send(text)
            case QuestionAsked() as asked:
                return self._question(asked, stripped)
        return Send(text)

    def _command(self, text: str) -> Action:
        word, _, rest = text.partition(" ")
        rest, waiting = rest.strip(), self.waiting
        action: Action = None
        match word:
            case "/quit" | "/exit":
                action = Leave()
            case "/select":
                action = Select(rest)
            case "/save":
                action = Save(rest)
            case "/show" if isinstance(waiting, ApprovalRequested):
                action = Show(waiting)
            case "/skip" if waiting is not None:
                action = self._decide(waiting.request_id, Verdict.DENY, reason=rest)
            case "/show" | "/skip":
                action = _say("Nothing waits for an answer.")
        return action

    def _approval(self, request: ApprovalRequested, text: str) -> Action:
        if denied := _NO.fullmatch(text):
            reason = (denied["reason"] or "").strip()
            return self._decide(request.request_id, Verdict.DENY, reason=reason)
        scope = Scope.ONCE if _YES.fullmatch(text) else _scope(text)
        if scope is None:
            return None
        _, cut = input_lines(request)
        if cut and request.request_id not in self._shown:
            return _say("Only a part of it was shown: read the whole with /show, then answer.")
        suggestion = next((s for s in request.suggestions if s.scope is scope), None)
        if scope is not Scope.ONCE and suggestion is None:
            return _say("That is not offered here: answer y to allow it once, or n to deny it.")
        decision = Decision(
            request_id=request.request_id,
            verdict=Verdict.ALLOW,
            scope=scope,
            suggestion_id=suggestion.id if suggestion and scope is not Scope.ONCE else "",
            actor=self._me,
            input_sha256=request.input_sha256,
        )
        return Decide(decision)

    def _question(self, asked: QuestionAsked, text: str) -> Action:
        question = asked.questions[len(self._answers)]
        answer = _answer(question, text)
        if answer is None:
            return Say(tuple(question_lines(question)))
        answers = (*self._answers, answer)
        if len(answers) < len(asked.questions):
            self._answers = answers
            number = len(answers) + 1
            following = asked.questions[len(answers)]
            return Say(tuple(question_lines(following, number=number, of=len(asked.questions))))
        self._answers = ()
        decided = self._decide(asked.request_id, Verdict.ANSWER)
        return Decide(replace(decided.decision, answers=answers))

    def _decide(self, request_id: str, verdict: Verdict, *, reason: str = "") -> Decide:
        return Decide(
            Decision(request_id=request_id, verdict=verdict, reason=reason, actor=self._me)
        )


def _scope(text: str) -> Scope | None:
    return {"s": Scope.SESSION, "a": Scope.ALWAYS}.get(text.lower())


def _answer(question: Question, text: str) -> Answer | None:
    """The answer that a text gives; None where it is none."""
    numbers = [part for part in re.split(r"[\s,]+", text) if part]
    if all(part.isascii() and part.isdigit() for part in numbers):
        chosen = [int(part) for part in numbers]
        if any(not 1 <= number <= len(question.options) for number in chosen):
            return None
        if len(chosen) > 1 and not question.multi:
            return None
        labels = tuple(dict.fromkeys(question.options[number - 1].label for number in chosen))
        return Answer(question.id, labels)
    by_name = [o.label for o in question.options if o.label.lower() == text.lower()]
    if by_name:
        return Answer(question.id, (by_name[0],))
    return Answer(question.id, other=text) if question.allow_other else None


def _say(text: str) -> Say:
    return Say((Line(f"  {text}", Tone.FAINT),))
