"""What a person's keys in an attached terminal mean: a draft, an interrupt, an answer to a dialog.

No hook tells of these. ESC shows in the transcript unless nothing was said yet; that a dialog was
answered with yes shows only in that the prompt stands again while its request goes on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from repobridge.session.events import (
    ApprovalRequested,
    InterruptCause,
    RequestOutcome,
    Via,
)
from repobridge_runner import inputs
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.requests import Pending
from repobridge_runner.screen import prompt_is_empty
from repobridge_runner.session.core import Core

PAINTED_SECONDS = 0.3
"""By then the agent has painted what a key did."""
_LAST_LOOK_SECONDS = 10.0
_HANG_UP_SECONDS = 1.5
"""By then the agent has let go of the hook of a dialog that was answered with no."""
_WATCH_SECONDS = 3.0
_INTERRUPTS = (inputs.ESCAPE, inputs.CLEAR)


def typed(core: Core, keys: bytes) -> None:
    """Takes note of keys that are about to reach the agent; never waits."""
    core.typed_at = core.last_activity = core.around.clock()
    if core.requests.waiting:
        if keys.endswith(_INTERRUPTS):
            core.dismissed = frozenset(core.requests.waiting)
        else:
            _look_in(core, PAINTED_SECONDS)
    elif core.turn is not None and keys in _INTERRUPTS:
        core.mailbox.do_in(0.0, lambda: _interrupted(core))
    else:
        core.has_draft = True


def watch(core: Core) -> None:
    """The turn may be over, and only the transcript tells: reads it for a while."""
    core.watch_until = core.around.clock() + _WATCH_SECONDS
    core.mailbox.tick()


async def box_is_empty(agent: ClaudeAgent) -> bool:
    """Whether the agent's input box stands, and nothing is written in it."""
    return await asyncio.to_thread(prompt_is_empty, agent.recent_output(), agent.size)


def _look_in(core: Core, seconds: float) -> None:
    core.mailbox.do_in(seconds, lambda: _look_for_dialog(core, after=seconds))


async def _look_for_dialog(core: Core, *, after: float) -> bool:
    """A dialog that is gone was answered; the hook of a no ends soon, that of a yes does not.

    One that still stands may have been asked to move its cursor, or the agent is slow: it is looked
    at again, twice as late each time.
    """
    waiting = [
        pending
        for pending in core.requests.waiting.values()
        if isinstance(pending.body, ApprovalRequested)
        # A no must never look like a yes, however late the agent lets go of its hook.
        and pending.request_id not in core.dismissed
    ]
    if not waiting or core.agent is None:
        return False
    if not await box_is_empty(core.agent):
        if after < _LAST_LOOK_SECONDS:
            _look_in(core, 2 * after)
        return False
    core.mailbox.do_in(_HANG_UP_SECONDS, lambda: _still_waiting(core, waiting))
    return True


async def _still_waiting(core: Core, gone: Sequence[Pending]) -> bool:
    """What waits although its dialog has been gone for long was answered with yes."""
    for pending in gone:
        request_id = pending.request_id
        if request_id in core.requests.waiting and request_id not in core.dismissed:
            await core.requests.close(pending, RequestOutcome.ALLOWED, Via.TERMINAL)
    return True


async def _interrupted(core: Core) -> bool:
    turn = core.turn
    if turn is None or turn.interrupt is not None:
        return False
    if not turn.has_output:
        turn.interrupt = InterruptCause.USER
        core.interrupted_at = core.around.clock()
    watch(core)
    return True
