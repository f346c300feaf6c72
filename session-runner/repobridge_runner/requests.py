"""What the agent asks of people: approvals and questions, each decided exactly once.

A decision is a compare-and-set in the journal, together with the event that tells it; whoever
waits for the answer hears of it only then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repobridge.errors import Refusal, Status
from repobridge.session.events import (
    Actor,
    ApprovalRequested,
    Event,
    Question,
    QuestionAsked,
    QuestionOption,
    RequestOutcome,
    RequestResolved,
    Scope,
    Suggestion,
    Verdict,
    Via,
)
from repobridge_runner.agents.base import Answer, Answers, Permission
from repobridge_runner.journal import Journal, Transaction


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided."""

    verdict: Verdict
    actor: Actor
    scope: Scope = Scope.ONCE
    suggestion_id: str = ""
    reason: str = ""
    answers: Sequence[tuple[str, Sequence[str], str]] = ()
    """Question id, labels, free text."""
    input_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A request that waits."""

    request_id: str
    envelope: Event
    """An event of the session, whose body is exchanged."""
    body: ApprovalRequested | QuestionAsked
    tool_name: str
    input: Mapping[str, Any]
    suggestions: Sequence[tuple[Suggestion, Mapping[str, Any]]]
    sequence: int
    future: asyncio.Future[Answer]


Listener = Callable[[Pending, RequestResolved, Answer], Awaitable[None]]
"""Told of each request that ended, after it stands in the log."""


class Requests:
    """The requests of one session that wait for a person."""

    def __init__(self, journal: Journal, *, listener: Listener) -> None:
        self._journal = journal
        self._listener = listener
        self.waiting: dict[str, Pending] = {}

    async def add(
        self,
        envelope: Event,
        body: ApprovalRequested | QuestionAsked,
        *,
        tool_name: str,
        input: Mapping[str, Any],
        suggestions: Sequence[tuple[Suggestion, Mapping[str, Any]]] = (),
        more: Sequence[Event] = (),
    ) -> Pending:
        """Makes a request known; `more` goes into the log with it."""

        def act(transaction: Transaction) -> int:
            sequence = transaction.append(dataclasses.replace(envelope, body=body))
            transaction.execute(
                "INSERT INTO requests (request_id, conversation_id, turn_id, kind, sequence,"
                " input_sha256, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    body.request_id,
                    envelope.conversation_id,
                    envelope.turn_id,
                    type(body).__name__,
                    sequence,
                    body.input_sha256 if isinstance(body, ApprovalRequested) else "",
                    body.expires_at,
                ),
            )
            for event in more:
                transaction.append(event)
            return sequence

        sequence = await self._journal.write(act, essential=True)
        pending = Pending(
            request_id=body.request_id,
            envelope=envelope,
            body=body,
            tool_name=tool_name,
            input=input,
            suggestions=suggestions,
            sequence=sequence,
            future=asyncio.get_running_loop().create_future(),
        )
        self.waiting[body.request_id] = pending
        return pending

    async def decide(self, request_id: str, decision: Decision) -> RequestOutcome:
        """A person's answer; raises Refusal where it cannot be one, or comes too late."""
        pending = self.waiting.get(request_id)
        if pending is None:
            raise await refuse_closed(self._journal, request_id)
        outcome, answer = _answer(pending, decision)
        resolved = RequestResolved(
            request_id,
            outcome,
            Via.CHAT,
            by=decision.actor,
            scope=decision.scope if outcome is RequestOutcome.ALLOWED else None,
            note=decision.reason,
        )
        if not await self._resolve(pending, resolved, answer):
            raise await refuse_closed(self._journal, request_id)
        return outcome

    async def close(
        self,
        pending: Pending,
        outcome: RequestOutcome,
        via: Via,
        *,
        note: str = "",
        is_answered: bool = True,
    ) -> bool:
        """Ends a request without a person's decision; False when it was over already.

        One that is not answered leaves its hook waiting until the agent lets go of it.
        """
        resolved = RequestResolved(pending.request_id, outcome, via, note=note)
        if not is_answered:
            return await self._resolve(pending, resolved, None)
        if isinstance(pending.body, QuestionAsked):
            return await self._resolve(pending, resolved, Answers(None, note))
        allow = outcome is RequestOutcome.ALLOWED
        return await self._resolve(pending, resolved, Permission(allow=allow, message=note))

    async def _resolve(self, pending: Pending, resolved: RequestResolved, answer: Answer) -> bool:
        event = dataclasses.replace(pending.envelope, body=resolved)
        # Essential, like all that a turn needs to come to its end on a full disk.
        won = await self._journal.write(
            lambda tx: _resolve_row(tx, event, resolved), essential=True
        )
        if won:
            self.waiting.pop(pending.request_id, None)
            if answer is not None and not pending.future.done():
                pending.future.set_result(answer)
            await self._listener(pending, resolved, answer)
        return won


def cancel_orphans(transaction: Transaction, session_of: Mapping[str, Event]) -> None:
    """Ends the requests that a former runner left open; nobody waits for their answers."""
    rows = transaction.execute(
        "SELECT request_id, conversation_id, turn_id FROM requests WHERE outcome IS NULL"
    ).fetchall()
    for request_id, conversation_id, turn_id in rows:
        resolved = RequestResolved(
            request_id, RequestOutcome.CANCELLED, Via.POLICY, note="The session was restarted."
        )
        envelope = session_of.get(conversation_id) or Event(resolved, conversation_id)
        event = dataclasses.replace(envelope, body=resolved, turn_id=turn_id)
        _resolve_row(transaction, event, resolved)


def _resolve_row(transaction: Transaction, event: Event, resolved: RequestResolved) -> bool:
    by = json.dumps(dataclasses.asdict(resolved.by)) if resolved.by else None
    cursor = transaction.execute(
        "UPDATE requests SET outcome = ?, by_json = ?, resolved_at = ?"
        " WHERE request_id = ? AND outcome IS NULL",
        (resolved.outcome.name, by, transaction.now, resolved.request_id),
    )
    if cursor.rowcount != 1:
        return False
    transaction.append(event)
    return True


async def refuse_closed(journal: Journal, request_id: str) -> Refusal:
    """The refusal of a decision on a request that does not wait."""
    row = await journal.read(
        lambda db: db.execute(
            "SELECT outcome, by_json FROM requests WHERE request_id = ?", (request_id,)
        ).fetchone()
    )
    if row is None or row[0] is None:
        return Refusal(
            Status.NOT_FOUND, "UNKNOWN_REQUEST", f"No request {request_id} waits here.", {}
        )
    by = json.loads(row[1])["display_name"] if row[1] else ""
    params = {"outcome": row[0], "by": by}
    if row[0] == RequestOutcome.EXPIRED.name:
        sentence = "This request has expired and was denied; ask the agent to try again."
        return Refusal(Status.FAILED_PRECONDITION, "REQUEST_EXPIRED", sentence, params)
    who = f" by {by}" if by else ""
    sentence = f"This was decided already{who}: {row[0].lower()}."
    return Refusal(Status.ALREADY_EXISTS, "ALREADY_DECIDED", sentence, params)


def sha256_of(value: Mapping[str, Any]) -> str:
    """The fingerprint of a tool's whole input."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def make_questions(asked: Mapping[str, Any]) -> tuple[Question, ...]:
    """The questions in the agent's own input."""
    raw = asked.get("questions")
    return tuple(
        Question(
            id=f"q{number}",
            header=str(each.get("header", "")),
            text=str(each.get("question", "")),
            multi=bool(each.get("multiSelect")),
            options=tuple(
                QuestionOption(str(option.get("label", "")), str(option.get("description", "")))
                for option in each.get("options") or ()
                if isinstance(option, dict)
            ),
            allow_other=True,
        )
        for number, each in enumerate(raw if isinstance(raw, list) else ())
        if isinstance(each, dict)
    )


def _answer(pending: Pending, decision: Decision) -> tuple[RequestOutcome, Answer]:
    body = pending.body
    if isinstance(body, QuestionAsked):
        if decision.verdict is Verdict.ANSWER:
            return RequestOutcome.ANSWERED, Answers(_answers(pending, body, decision))
        reason = decision.reason or f"{decision.actor.display_name} declined to answer."
        return RequestOutcome.DENIED, Answers(None, reason)
    if decision.input_sha256 and decision.input_sha256 != body.input_sha256:
        sentence = "What was shown is not what the agent asks for; look at the request again."
        raise Refusal(Status.FAILED_PRECONDITION, "INPUT_MISMATCH", sentence, {})
    if decision.verdict is Verdict.ALLOW:
        return RequestOutcome.ALLOWED, Permission(
            allow=True, updates=make_updates(pending, decision)
        )
    reason = decision.reason or f"{decision.actor.display_name or 'A person'} denied this."
    return RequestOutcome.DENIED, Permission(allow=False, message=reason)


def _answers(pending: Pending, body: QuestionAsked, decision: Decision) -> dict[str, str]:
    """By the agent's own words, which may hold what people were not shown."""
    given = {question_id: (labels, other) for question_id, labels, other in decision.answers}
    answers = {}
    for shown, asked in zip(body.questions, make_questions(pending.input), strict=True):
        labels, other = given.get(shown.id, ((), ""))
        known = {
            option.label: original.label
            for option, original in zip(shown.options, asked.options, strict=True)
        }
        wrong = [label for label in labels if label not in known]
        parts = [known.get(label, label) for label in labels] + ([other] if other else [])
        if not parts or wrong or (len(parts) > 1 and not shown.multi):
            what = f"{wrong[0]!r} is none of its options" if wrong else "one answer is needed"
            sentence = f"The question {shown.id} ({shown.text!r}): {what}."
            raise Refusal(Status.INVALID_ARGUMENT, "INCOMPLETE_ANSWER", sentence, {})
        answers[asked.text] = ", ".join(parts)
    return answers


def make_updates(pending: Pending, decision: Decision) -> list[Mapping[str, Any]]:
    """The permission updates that widen an approval as far as was decided.

    The CLI holds every one for its own lifetime only; what is to last is kept by the runner, out
    of the agent's reach, and given to each new process.
    """
    if decision.scope is Scope.ONCE:
        return []
    chosen = [
        raw for suggestion, raw in pending.suggestions if suggestion.id == decision.suggestion_id
    ]
    if decision.suggestion_id and not chosen:
        sentence = f"The request offers no suggestion {decision.suggestion_id!r}."
        raise Refusal(Status.INVALID_ARGUMENT, "UNKNOWN_SUGGESTION", sentence, {})
    if not chosen and decision.scope is Scope.SESSION:
        chosen = [raw for each, raw in pending.suggestions if each.scope is Scope.SESSION]
    if not chosen:
        chosen = [raw for _, raw in pending.suggestions if raw.get("type") == "addRules"]
    if not chosen:
        chosen = [_exact_rule(pending.tool_name, pending.input)]
    return [{**raw, "destination": "session"} for raw in chosen]


def lasting_rules(updates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rules among permission updates."""
    return [
        rule
        for update in updates
        if update.get("type") == "addRules" and update.get("behavior") == "allow"
        for rule in update.get("rules", ())
    ]


def _exact_rule(tool_name: str, tool_input: Mapping[str, Any]) -> Mapping[str, Any]:
    rule = {"toolName": tool_name}
    if isinstance(tool_input.get("command"), str):
        rule["ruleContent"] = tool_input["command"]
    return {"type": "addRules", "rules": [rule], "behavior": "allow"}
