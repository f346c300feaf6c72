"""What the agent asks of people: from its hook to the request, and from the answer back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from repobridge.session.events import (
    ApprovalRequested,
    QuestionAsked,
    RequestKind,
    RequestOutcome,
    Scope,
    SessionChanged,
    SessionState,
    Via,
)
from repobridge_runner import requests, store
from repobridge_runner.agents import base
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.agents.claude_hooks import PLAN_TOOL, QUESTION_TOOL
from repobridge_runner.journal import Transaction
from repobridge_runner.requests import Pending
from repobridge_runner.session import keys
from repobridge_runner.session.core import Core
from repobridge_runner.session.mail import Closed, Reported
from repobridge_runner.turn import Turn, make_title


def handler_of(core: Core, agent: ClaudeAgent) -> base.Handler:
    """Takes an agent's reports; what people answer is waited for, and that a turn is written.

    An agent asks its provider as soon as the hook of a prompt is answered: were the turn not in the
    journal by then, a crash would put the message back into the queue, and it would run twice.
    """

    async def handler(report: base.Report) -> base.Answer:
        core.hooks += 1
        if isinstance(report, base.PromptTaken):
            written = asyncio.Event()
            await core.mailbox.put(Reported(report, agent, written=written))
            await written.wait()
            return None
        if not isinstance(report, base.PermissionWanted | base.QuestionsAsked):
            await core.mailbox.put(Reported(report, agent))
            return None
        asked: asyncio.Future[Pending] = asyncio.get_running_loop().create_future()
        await core.mailbox.put(Reported(report, agent, asked))
        return await _answer_of(core, asked)

    return handler


async def _answer_of(core: Core, asked: asyncio.Future[Pending]) -> base.Answer:
    """Waits for the decision; expiry denies, and a closed dialog cancels."""
    try:
        pending = await asyncio.shield(asked)
    except asyncio.CancelledError:
        asked.cancel()  # whoever makes the request finds it and closes it
        raise
    try:
        async with asyncio.timeout(core.around.settings.request_expiry_seconds):
            return await asyncio.shield(pending.future)
    except TimeoutError:
        note = "Nobody answered in time, so this was denied."
        await core.requests.close(pending, RequestOutcome.EXPIRED, Via.POLICY, note=note)
        return await pending.future
    except asyncio.CancelledError:
        # The agent hung up: the dialog was closed in the terminal, or we end the process.
        is_ours = core.is_stopping or core.agent is None
        via = Via.POLICY if is_ours else Via.TERMINAL
        closing = core.requests.close(pending, RequestOutcome.CANCELLED, via)
        await asyncio.shield(asyncio.ensure_future(closing))
        raise


async def ask(core: Core, turn: Turn | None, mail: Reported) -> None:
    """Makes a request known and hands it to the hook that waits."""
    report = mail.report
    assert isinstance(report, base.PermissionWanted | base.QuestionsAsked)
    assert mail.asked is not None
    if turn is None:
        mail.asked.cancel()
        return
    expires_at = core.around.clock() + core.around.settings.request_expiry_seconds
    body: ApprovalRequested | QuestionAsked
    if isinstance(report, base.PermissionWanted):
        body = _approval(core, turn, report, expires_at=expires_at)
        tool_name, suggestions = report.tool_name, report.suggestions
    else:
        shown = requests.make_questions(core.around.redactor.json(report.input))
        body = QuestionAsked(core.around.new_id(), shown, expires_at)
        tool_name, suggestions = QUESTION_TOOL, ()
    core.to(SessionState.WAITING)
    pending = await core.requests.add(
        core.event(body),
        body,
        tool_name=tool_name,
        input=report.input,
        suggestions=suggestions,
        more=[core.event(SessionChanged(SessionState.WAITING))],
    )
    if mail.asked.cancelled():
        await core.requests.close(pending, RequestOutcome.CANCELLED, Via.TERMINAL)
    else:
        mail.asked.set_result(pending)


async def answered_in_terminal(core: Core, finished: base.ToolFinished) -> None:
    """The tool ran while its request still waits: somebody allowed it in the terminal."""
    for pending in tuple(core.requests.waiting.values()):
        if pending.tool_name == finished.name and pending.input == finished.input:
            await core.requests.close(pending, RequestOutcome.ALLOWED, Via.TERMINAL)
            return


async def closed(core: Core, mail: Closed) -> None:
    """A request is over: the turn goes on, unless it ended with it."""
    turn, resolved = core.turn, mail.resolved
    if turn is None or mail.pending.envelope.turn_id != turn.turn_id:
        return
    if resolved.outcome in (RequestOutcome.DENIED, RequestOutcome.EXPIRED):
        await core.emit(*turn.tool_denied(mail.pending.tool_name, mail.pending.input))
    if resolved.scope is Scope.ALWAYS and isinstance(mail.answer, base.Permission):
        await _keep_rules(core, mail.answer)
    if not core.requests.waiting and core.state is SessionState.WAITING:
        await core.enter(SessionState.BUSY)
    if resolved.via is Via.TERMINAL and resolved.outcome is RequestOutcome.CANCELLED:
        keys.watch(core)  # ESC in the dialog ends it


def _approval(
    core: Core, turn: Turn, report: base.PermissionWanted, *, expires_at: float
) -> ApprovalRequested:
    shown, blob_id = turn.shown_input(report.input)
    redactor = core.around.redactor
    return ApprovalRequested(
        request_id=core.around.new_id(),
        kind=RequestKind.PLAN if report.tool_name == PLAN_TOOL else RequestKind.TOOL,
        tool_name=report.tool_name,
        input_json=shown,
        input_blob_id=blob_id,
        input_sha256=requests.sha256_of(report.input),
        suggestions=tuple(
            replace(each, label=redactor.text(each.label)) for each, _ in report.suggestions
        ),
        expires_at=expires_at,
        title=redactor.text(make_title(report.tool_name, report.input)),
    )


async def _keep_rules(core: Core, permission: base.Permission) -> None:
    new = requests.lasting_rules(permission.updates)

    def act(transaction: Transaction) -> None:
        rules = store.get_meta(transaction, "rules") or []
        kept = rules + [rule for rule in new if rule not in rules]
        store.put_meta(transaction, "rules", kept)

    await core.around.journal.write(act)
