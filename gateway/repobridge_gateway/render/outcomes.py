"""How a turn ended, in a sentence that a person would write."""

from __future__ import annotations

from repobridge.session import events as ev
from repobridge_gateway.lines import one_line
from repobridge_gateway.render import wording
from repobridge_gateway.render.inline import escaped
from repobridge_gateway.render.measure import shortened

_DETAIL_UNITS = 400
_GO_ON = "-# Continue lets the agent pick up from what it remembers. Discard leaves it at that."
_NO_MEMORY = (
    "The agent ran out of memory. The session goes on with your next message.\n"
    "-# If it happens again, ask for less at once, or have this bridge's memory raised."
)
_FAILURES = {
    "rate_limit": "The model's provider limits us for now. Try again in a while.",
    "overloaded": "The model's provider is overloaded. Try again in a moment.",
    "server_error": "The model's provider had an error. Try again in a moment.",
    "authentication_failed": "The model's provider does not accept our key. Whoever looks after"
    " this bridge has to renew it.",
    "billing_error": "The account with the model's provider can't pay for this. Whoever looks after"
    " this bridge has to look at it.",
    "model_not_found": "The model's provider does not know this model. Whoever looks after this"
    " bridge has to choose another.",
    "invalid_request": "The model's provider refused the request. A new session may help: `/new`.",
    "max_output_tokens": "The answer grew longer than the model may write. Ask for it in parts.",
    "INPUT_NOT_TAKEN": "The agent did not take the message. Send it again.",
}


def outcome_sentence(ended: ev.TurnEnded, *, has_text: bool, has_files: bool = False) -> str:
    """What people need to know beside the answer; empty where the answer says it all."""
    detail = _detail(ended.error)
    match ended.outcome:
        case ev.TurnOutcome.COMPLETED:
            nothing = "" if has_files else " The agent had nothing to add."
            told = "" if has_text else f"{wording.DONE} Done.{nothing}"
        case ev.TurnOutcome.INTERRUPTED:
            so_far = "here, as asked" if has_text else "before there was an answer"
            told = f"{wording.STOPPED} {detail or f'Stopped {so_far}.'}"
        case ev.TurnOutcome.FAILED:
            told = _failed(ended.error, detail)
        case ev.TurnOutcome.LOST:
            why = detail or "The agent ended and could not go on."
            told = f"{wording.FAILED} This turn was cut off. {why}\n{_GO_ON}"
        case ev.TurnOutcome.OUT_OF_MEMORY:
            told = f"{wording.FAILED} {_NO_MEMORY}"
        case ev.TurnOutcome.BUDGET:
            told = f"{wording.STOPPED} The budget is used up, so the agent stopped here."
            told += f"\n-# {detail}" if detail else ""
    return told


def what_goes_on(ended: ev.TurnEnded) -> str:
    """What still runs, or will run, after the turn; empty where nothing does."""
    told: list[str] = []
    if ended.background_tasks:
        is_one = ended.background_tasks == 1
        tasks = wording.count(ended.background_tasks, "background task")
        told.append(f"{tasks} still {'runs' if is_one else 'run'}; more comes when there is news.")
    if ended.session_crons:
        is_one = ended.session_crons == 1
        crons = wording.count(ended.session_crons, "scheduled task")
        told.append(f"{crons} {'is' if is_one else 'are'} set.")
    return f"-# {' '.join(told)}" if told else ""


def _failed(error: ev.TurnError | None, detail: str) -> str:
    known = _FAILURES.get(error.code, "") if error is not None else ""
    if known:
        return f"{wording.FAILED} {known}" + (f"\n-# {detail}" if detail else "")
    return f"{wording.FAILED} That went wrong{f': {detail}' if detail else '.'}"


def _detail(error: ev.TurnError | None) -> str:
    if error is None:
        return ""
    return escaped(shortened(one_line(error.message, longest=2000), _DETAIL_UNITS))
