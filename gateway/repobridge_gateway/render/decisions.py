"""What people are asked to allow, as messages: a tool's call, a plan; and how that ended.

What is asked is shown whole, in the message or as a file beside it; where it is not, there is
nothing to allow it with. The text of a rule that an answer would make stands there too.
"""

from __future__ import annotations

from dataclasses import dataclass

from repobridge.session import events as ev
from repobridge_gateway.lines import printable
from repobridge_gateway.render import wording
from repobridge_gateway.render.asked_input import Block, show_plan, show_tool, visible
from repobridge_gateway.render.custom_id import Kind, Verb, make_custom_id
from repobridge_gateway.render.filenames import media_type_of, numbered
from repobridge_gateway.render.inline import code, escaped
from repobridge_gateway.render.limits import check, check_modal
from repobridge_gateway.render.markdown import for_discord
from repobridge_gateway.render.measure import is_blank, shortened, units, well_formed
from repobridge_gateway.render.pieces import (
    FILE_BYTES,
    MESSAGE_UNITS,
    Button,
    ButtonStyle,
    File,
    Modal,
    Piece,
    Row,
    TextInput,
)
from repobridge_gateway.render.summary import summary

RULE_UNITS = 300
"""A rule that is longer is not offered, as it could not be read in the message."""
_NOTE_UNITS = 300
_NAME_UNITS = 100
_SUMMARY_UNITS = 900
_MOST_PLAN = 10_000
_TOO_LARGE = "It is too large to be shown here, so it can't be allowed here."


def render_approval(
    request: ev.ApprovalRequested, *, key: str, whole_input: str = "", reply_to: str = ""
) -> Piece:
    """The message that asks; `key` is the ULID under which the gateway knows the request.

    `whole_input` is the content of the request's blob, where it has one: without it, ValueError.
    """
    asked = _input_of(request, whole_input)
    shown = _shown(request, asked)
    foot = [*_rules(request), *_expiry(request)]
    body, files = _fitted(shown, room=MESSAGE_UNITS - units("\n".join([shown.head, *foot])) - 2)
    is_whole = sum(len(file.data) for file in files) <= FILE_BYTES
    if not is_whole:
        body, files, foot = _TOO_LARGE, (), _expiry(request)
    text = "\n".join(filter(None, [shown.head, body, *foot]))
    return check(
        Piece(text, files, (_buttons(request, key, is_whole=is_whole),), reply_to=reply_to)
    )


def render_resolved_approval(
    request: ev.ApprovalRequested,
    resolved: ev.RequestResolved,
    *,
    at: float,
    whole_input: str = "",
) -> Piece:
    """What the message becomes once that is over: who decided, and what, without its buttons.

    Its files stay as they were sent: this piece has none, and an edit is to leave them alone.
    """
    asked = request.input_json if request.input_json or not request.input_blob_id else whole_input
    shown = _shown(request, asked)
    head = f"{outcome_line(resolved, at=at, kind=request.kind)}\n-# {shown.asked}"
    body, files = _fitted(shown, room=MESSAGE_UNITS - units(head) - 1)
    if files or (request.input_blob_id and not whole_input):
        body = shown.facts if units(head + shown.facts) < MESSAGE_UNITS - 1 else ""
    return check(Piece(f"{head}\n{body}" if body else head))


def suggestion_for(request: ev.ApprovalRequested, scope: ev.Scope) -> ev.Suggestion | None:
    """The rule that an answer with a scope would make; None: that answer is not offered.

    For the session any rule may be taken, as it ends with it; for good only one that was meant so.
    """
    wanted = [scope, ev.Scope.ALWAYS] if scope is ev.Scope.SESSION else [scope]
    for each in wanted if scope is not ev.Scope.ONCE else []:
        for suggestion in request.suggestions:
            if suggestion.scope is each:
                fits = units(visible(suggestion.label)) <= RULE_UNITS
                return suggestion if fits and not is_blank(suggestion.label) else None
    return None


def deny_modal(key: str) -> Modal:
    """The form that asks why something is not allowed."""
    field = TextInput(
        make_custom_id(Kind.APPROVAL, key, Verb.TEXT),
        "What should the agent know?",
        "It reads this, and goes on without what it asked for.",
        placeholder="Use the staging database instead",
        required=False,
        max_units=2000,
    )
    return check_modal(
        Modal(make_custom_id(Kind.APPROVAL, key, Verb.DENY), "Don't allow this", (field,))
    )


def revise_modal(key: str) -> Modal:
    """The form that asks what to change in a plan."""
    field = TextInput(
        make_custom_id(Kind.PLAN, key, Verb.TEXT),
        "What should be different?",
        "The agent plans again with this in mind.",
        placeholder="Leave the old endpoint in place, and …",
    )
    return check_modal(
        Modal(make_custom_id(Kind.PLAN, key, Verb.REVISE), "Revise the plan", (field,))
    )


def outcome_line(
    resolved: ev.RequestResolved, *, at: float, kind: ev.RequestKind | None = None
) -> str:
    """How a request ended: what, by whom, where, when, and what was said about it."""
    who = f" by {wording.person(resolved.by)}" if resolved.by is not None else ""
    where = " in the live terminal" if resolved.via is ev.Via.TERMINAL else ""
    note = escaped(shortened(printable(well_formed(resolved.note)), _NOTE_UNITS))
    said = f"\n-# “{note}”" if note and resolved.by is not None else ""
    when = f" · <t:{int(at)}:t>"
    is_plan = kind is ev.RequestKind.PLAN
    match resolved.outcome:
        case ev.RequestOutcome.ALLOWED:
            reach = {ev.Scope.SESSION: " for this session", ev.Scope.ALWAYS: " for good"}
            scope = reach.get(resolved.scope, " once") if resolved.scope else ""
            word = "Approved" if is_plan else f"Allowed{scope}"
            return f"{wording.DONE} {word}{who}{where}{when}{said}"
        case ev.RequestOutcome.DENIED:
            word = "Sent back" if is_plan else "Not allowed"
            return f"{wording.REFUSED} {word}{who}{where}{when}{said}"
        case ev.RequestOutcome.ANSWERED:
            return f"{wording.DONE} Answered{who}{where}{when}{said}"
        case ev.RequestOutcome.EXPIRED:
            return f"{wording.STOPPED} Nobody answered in time, so the agent goes on without{when}"
    reason = f": {note}" if note else ""
    return f"{wording.STOPPED} No longer asked{where}{reason}{when}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked, before it is known how much of it fits into a message."""

    head: str
    asked: str
    facts: str
    blocks: tuple[Block, ...]
    plan: str = ""


def _input_of(request: ev.ApprovalRequested, whole_input: str) -> str:
    if not request.input_blob_id:
        return request.input_json
    if not whole_input:
        raise ValueError(f"the input of {request.request_id} has to be read before it is shown")
    return whole_input


def _shown(request: ev.ApprovalRequested, asked: str) -> _Asked:
    if request.kind is ev.RequestKind.PLAN:
        plan, blocks = show_plan(asked)
        head = f"{wording.ASKING} **Here is the plan. Shall the agent go ahead?**"
        return _Asked(head, "The plan", "", blocks, plan or "")
    shown = show_tool(request.tool_name, asked)
    head = f"{wording.ASKING} **May the agent {shown.question}?**"
    name = code(shortened(visible(request.tool_name), _NAME_UNITS)) or "a tool"
    facts = "\n".join(shown.facts)
    return _Asked(head, f"The agent asked to {shown.question} ({name})", facts, shown.blocks)


def _fitted(shown: _Asked, *, room: int) -> tuple[str, tuple[File, ...]]:
    """The body of the message, and as files what doesn't fit into it or would break its code."""
    # What is far too long to fit is not worth telling to its end.
    plan = for_discord(shown.plan[:_MOST_PLAN])
    blocks = [f"```{block.language}\n{block.text or ' '}\n```" for block in shown.blocks]
    inline = "\n".join(filter(None, [shown.facts, plan, *blocks]))
    is_short = units(inline) <= room and len(shown.plan) <= _MOST_PLAN
    if is_short and not any("```" in block.text for block in shown.blocks):
        return inline, ()
    taken: set[str] = set()
    files = [_file(block.text, numbered(block.file_name, taken)) for block in shown.blocks]
    if shown.plan:
        files.insert(0, _file(visible(shown.plan), numbered("plan.md", taken)))
    told = [shown.facts, summary(plan, limit=_SUMMARY_UNITS) if plan else ""]
    names = " and ".join(code(file.name) for file in files)
    told.append(f"-# The whole is in {names}. Read it before you answer.")
    return "\n".join(filter(None, told)), tuple(files)


def _file(text: str, name: str) -> File:
    content = well_formed(text)
    ended = content if content.endswith("\n") else f"{content}\n"
    return File(name, media_type_of(name), ended.encode())


def _rules(request: ev.ApprovalRequested) -> list[str]:
    """What the wider answers would allow from now on."""
    if request.kind is ev.RequestKind.PLAN:
        return []
    session = suggestion_for(request, ev.Scope.SESSION)
    always = suggestion_for(request, ev.Scope.ALWAYS)
    if session is not None and session == always:
        return [f"-# For the session, or always: {code(visible(session.label))}"]
    told = [("For the session", session), ("Always", always)]
    return [f"-# {when}: {code(visible(rule.label))}" for when, rule in told if rule is not None]


def _expiry(request: ev.ApprovalRequested) -> list[str]:
    if request.expires_at is None:
        return []
    return [f"-# If nobody answers, that is a no <t:{int(request.expires_at)}:R>."]


def _buttons(request: ev.ApprovalRequested, key: str, *, is_whole: bool) -> Row:
    if request.kind is ev.RequestKind.PLAN:
        approve = Button(
            "Approve", make_custom_id(Kind.PLAN, key, Verb.APPROVE), ButtonStyle.SUCCESS
        )
        revise = Button("Revise…", make_custom_id(Kind.PLAN, key, Verb.REVISE))
        return Row((approve, revise) if is_whole else (revise,))

    def button(label: str, verb: Verb, style: ButtonStyle = ButtonStyle.SECONDARY) -> Button:
        return Button(label, make_custom_id(Kind.APPROVAL, key, verb), style)

    buttons = [button("Allow once", Verb.ONCE, ButtonStyle.SUCCESS)] if is_whole else []
    if is_whole and suggestion_for(request, ev.Scope.SESSION):
        buttons.append(button("For this session", Verb.SESSION))
    if is_whole and suggestion_for(request, ev.Scope.ALWAYS):
        buttons.append(button("Always", Verb.ALWAYS))
    return Row((*buttons, button("Deny…", Verb.DENY, ButtonStyle.DANGER)))
