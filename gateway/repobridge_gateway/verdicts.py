"""What somebody chose at a message with buttons: as it is kept, and as its runner gets it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repobridge.session.events import Actor, Scope, Verdict
from repobridge_gateway.access import Permission
from repobridge_gateway.chat import Person
from repobridge_gateway.clicks import Asked, Click
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import Verb
from repobridge_gateway.session_values import Answer, Decision

SOURCE = "discord"
_SCOPES = {Verb.SESSION: Scope.SESSION, Verb.ALWAYS: Scope.ALWAYS}
_ALLOWING = frozenset({Verb.ONCE, Verb.SESSION, Verb.ALWAYS, Verb.APPROVE})
_ANSWERING = frozenset({Verb.CHOOSE, Verb.WRITE})
_DEEDS = {
    Verb.ONCE: "allowed it once",
    Verb.SESSION: "allowed it for this session",
    Verb.ALWAYS: "allowed it for good",
    Verb.DENY: "said no",
    Verb.APPROVE: "approved the plan",
    Verb.REVISE: "sent the plan back",
    Verb.CHOOSE: "answered",
    Verb.WRITE: "answered",
    Verb.SKIP: "skipped it",
    Verb.STOP: "stopped it",
    Verb.CONTINUE: "let the agent go on",
    Verb.DISCARD: "discarded it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a click stands for."""

    verb: Verb
    suggestion_id: str = ""
    """Of the rule that a wider permission makes: the one that was shown."""
    reason: str = ""
    answers: tuple[Answer, ...] = ()
    guild_id: str = ""
    message_id: str = ""
    """Where it was clicked."""


def to_json(choice: Choice) -> str:
    """A choice as text."""
    return json.dumps(
        {
            "verb": choice.verb.value,
            "suggestion_id": choice.suggestion_id,
            "reason": choice.reason,
            "answers": [[each.question_id, each.options, each.other] for each in choice.answers],
            "guild_id": choice.guild_id,
            "message_id": choice.message_id,
        }
    )


def from_json(text: str) -> Choice:
    """The choice of `to_json`."""
    raw = json.loads(text)
    return Choice(
        verb=Verb(raw["verb"]),
        suggestion_id=raw["suggestion_id"],
        reason=raw["reason"],
        answers=tuple(
            Answer(name, tuple(options), other) for name, options, other in raw["answers"]
        ),
        guild_id=raw["guild_id"],
        message_id=raw["message_id"],
    )


def actor_of(person: Person) -> Actor:
    """Somebody as a runner knows them."""
    return Actor(person.user_id, person.display_name, SOURCE)


def decision_of(click: Click, asked: Asked) -> Decision:
    """What the runner is told of a click on an approval, a plan or a question."""
    choice = from_json(click.verdict)
    verdict = Verdict.DENY
    if choice.verb in _ALLOWING:
        verdict = Verdict.ALLOW
    elif choice.verb in _ANSWERING:
        verdict = Verdict.ANSWER
    return Decision(
        request_id=asked.request_id,
        verdict=verdict,
        scope=_SCOPES.get(choice.verb, Scope.ONCE),
        suggestion_id=choice.suggestion_id,
        reason=choice.reason,
        answers=choice.answers,
        actor=actor_of(click.person),
        input_sha256=asked.input_sha256,
    )


def permission_for(verb: Verb) -> Permission:
    """What it takes to decide so on what the agent asks."""
    return Permission.MANAGE if verb is Verb.ALWAYS else Permission.APPROVE


def scope_of(verb: Verb) -> Scope | None:
    """How far a permission reaches that needs a rule; None: it makes none."""
    return _SCOPES.get(verb)


def taken_sentence(winner: Click | None, person: Person) -> str:
    """What somebody reads who was not the first."""
    if winner is None:
        return "That is decided already."
    deed = _DEEDS[from_json(winner.verdict).verb]
    if winner.person.user_id == person.user_id:
        return f"You {deed} before; it is under way."
    return f"{wording.person(actor_of(winner.person))} was first, and {deed}."


def merged(parts: Iterable[Sequence[Answer]]) -> tuple[Answer, ...]:
    """The answers of several clicks; to each question the first one counts."""
    found: dict[str, Answer] = {}
    for part in parts:
        for answer in part:
            found.setdefault(answer.question_id, answer)
    return tuple(found.values())
