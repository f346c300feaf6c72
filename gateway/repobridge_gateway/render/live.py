"""The one live message of a turn: what the agent does, and the end of what it says.

While the turn runs: a header, the tools, and the last of the text. At the end it shrinks to the
tools and what the turn took; the answer is a message of its own.
"""

from __future__ import annotations

from repobridge.session import events as ev
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import Kind, Verb, make_custom_id
from repobridge_gateway.render.inline import inert
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.markdown import for_discord
from repobridge_gateway.render.measure import shortened, units
from repobridge_gateway.render.pieces import MESSAGE_UNITS, Button, Piece, Row
from repobridge_gateway.render.tail import keep_end
from repobridge_gateway.render.timeline import MOST_UNITS, render_timeline
from repobridge_gateway.render.turn_view import TurnView

LIVE_TEXT_UNITS = 1800
_RAW_CHARACTERS = 2 * LIVE_TEXT_UNITS
_NOTICE_UNITS = 200
_MODEL_UNITS = 60
_LEAST_TEXT_UNITS = 120
_ENDINGS = {
    ev.TurnOutcome.COMPLETED: f"{wording.DONE} Done",
    ev.TurnOutcome.INTERRUPTED: f"{wording.STOPPED} Stopped",
    ev.TurnOutcome.FAILED: f"{wording.FAILED} Failed",
    ev.TurnOutcome.LOST: f"{wording.FAILED} Lost",
    ev.TurnOutcome.OUT_OF_MEMORY: f"{wording.FAILED} Out of memory",
    ev.TurnOutcome.BUDGET: f"{wording.STOPPED} Out of budget",
}
_WORK = {
    ev.TurnOrigin.TERMINAL: "Answering in the live terminal",
    ev.TurnOrigin.CRON: "Running a scheduled task",
    ev.TurnOrigin.BACKGROUND: "Looking at a background task",
    ev.TurnOrigin.REGENERATE: "Answering again",
    ev.TurnOrigin.RESUME: "Going on",
}


def render_live(view: TurnView, now: float, *, reply_to: str = "", key: str = "") -> Piece:
    """The message while the turn runs, or shrunk once it ended.

    `key` is the ULID under which the gateway knows the turn; without it there is no Stop button.
    """
    if view.ended is not None:
        return render_closed(view, reply_to=reply_to)
    timeline = _timeline(view, now)
    lines = [_header(view, now), *_notices(view), *([timeline] if timeline else [])]
    head = "\n".join(lines)
    room = min(LIVE_TEXT_UNITS, MESSAGE_UNITS - units(head) - 2)
    text = _text(view, room) if room >= _LEAST_TEXT_UNITS else ""
    stop = Button("Stop", make_custom_id(Kind.TURN, key, Verb.STOP)) if key else None
    return check(
        Piece(
            f"{head}\n\n{text}" if text else head,
            components=(Row((stop,)),) if stop else (),
            reply_to=reply_to,
        )
    )


def render_closed(view: TurnView, *, reply_to: str = "") -> Piece:
    """What is left of the live message: how the turn ended, what it took, and its tools.

    The cost may come a moment after the end: then it is worth another edit.
    """
    assert view.ended is not None
    end = _ENDINGS.get(view.ended.outcome, f"{wording.DONE} Ended")
    now = view.ended_at or 0.0
    facts = [end]
    facts += [wording.elapsed(view.seconds(now))] if view.opened_at is not None else []
    facts += wording.usage_facts(view.usage)
    facts += [_model(view)] if view.model else []
    lines = [f"-# {' · '.join(facts)}", *_notices(view)]
    timeline = _timeline(view, now)
    return check(Piece("\n".join([*lines, timeline] if timeline else lines), reply_to=reply_to))


def _timeline(view: TurnView, now: float) -> str:
    return render_timeline(
        list(view.tools.values()),
        now=now,
        earlier=view.earlier_tools,
        words=view.words,
        most_units=MOST_UNITS,
    )


def _header(view: TurnView, now: float) -> str:
    if view.requests:
        request = next(iter(view.requests.values()))
        since = view.waiting_since if view.waiting_since is not None else now
        what = "your answer"
        if isinstance(request, ev.ApprovalRequested):
            is_plan = request.kind is ev.RequestKind.PLAN
            what = "a look at the plan" if is_plan else "approval"
        more = f" and {len(view.requests) - 1} more" if len(view.requests) > 1 else ""
        return f"{wording.ASKING} Waiting for {what}{more} · {wording.elapsed(round(now - since))}"
    origin = view.opened.origin if view.opened is not None else ev.TurnOrigin.MESSAGE
    work = "Going on after a restart" if view.is_resumed else _WORK.get(origin, "Working")
    facts = [f"{wording.WORKING} {work}"]
    facts += [wording.elapsed(round(view.seconds(now)))] if view.opened_at is not None else []
    facts += [_model(view)] if view.model else []
    return " · ".join(facts)


def _model(view: TurnView) -> str:
    return inert(shortened(view.model, _MODEL_UNITS))


def _notices(view: TurnView) -> list[str]:
    """The last one that says more than that all is well."""
    if not view.notices:
        return []
    last = view.notices[-1]
    mark = "" if last.severity is ev.Severity.INFO else f"{wording.NOTICED} "
    return [f"-# {mark}{inert(shortened(wording.notice(last), _NOTICE_UNITS))}"]


def _text(view: TurnView, room: int) -> str:
    raw = keep_end(view.end_of_text(_RAW_CHARACTERS), limit=_RAW_CHARACTERS)
    return keep_end(for_discord(raw, is_whole=False), limit=room)
