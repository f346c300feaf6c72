"""What only the transcript tells: tokens, interrupts, and the end of the agent's own commands."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from repobridge.session.events import InterruptCause, MessageKind, TurnOrigin, TurnOutcome
from repobridge_runner.agents import base
from repobridge_runner.session.core import Core
from repobridge_runner.session.mail import TICK_SECONDS
from repobridge_runner.session.process import restart
from repobridge_runner.session.turns import end_turn, goes_on, open_turn, outcome_of
from repobridge_runner.turn import Turn

_USAGE_SECONDS = 0.75
_UNMARKED_SECONDS = 0.4


async def read_transcript(core: Core) -> None:
    """Reads what was appended, and looks again soon while something is waited for."""
    if core.agent is None:
        return
    for seen in core.agent.transcript.read():
        await _take(core, seen)
    await _clear_after_interrupt(core)
    await _tell_cost(core)
    turn = core.turn
    is_watched = core.around.clock() < core.watch_until
    waits = turn is not None and (turn.interrupt or is_watched or _is_command(turn))
    if waits or core.cost_of or _is_pasting_command(core):
        core.mailbox.tick()


async def wait_for_usage(core: Core, turn: Turn) -> None:
    """The transcript is written about 100 ms late: it brings the tokens, and the memory.

    What is not in it yet would be forgotten by a session that crashes now.
    """
    deadline = core.around.clock() + _USAGE_SECONDS
    before = turn.usage
    while core.turn is turn and turn.usage == before and core.around.clock() < deadline:
        await read_transcript(core)
        if turn.usage == before:
            await asyncio.sleep(TICK_SECONDS)


async def command_runs(core: Core) -> None:
    """One of the agent's own commands shows a sign of life: that confirms it."""
    if not _is_pasting_command(core):
        return
    assert core.pasting is not None
    message = core.pasting.message
    core.pasting = None
    core.mailbox.disarm()
    await open_turn(core, TurnOrigin.MESSAGE, message=message)
    core.mailbox.tick()


async def _tell_cost(core: Core) -> None:
    """The cost comes a third of a second after the end of the turn, which does not wait for it."""
    due, agent = core.cost_of, core.agent
    if due is None or agent is None:
        return
    status = agent.status.read()
    before = agent.cost_micro_usd
    if status is not None and status.cost_micro_usd > before:
        agent.cost_micro_usd = status.cost_micro_usd
        cost = status.cost_micro_usd - before
        core.cost_of = None
        whole = {**core.row.usage}
        whole["cost_micro_usd"] = whole.get("cost_micro_usd", 0) + cost
        whole["context_window"] = status.context_window
        core.row = replace(core.row, usage=whole)
        told = replace(due.usage, cost_micro_usd=cost, context_window=status.context_window)
        await core.emit_of(due.turn_id, told)
    elif core.around.clock() > due.until:
        core.cost_of = None


async def _take(core: Core, seen: base.Report) -> None:
    turn = core.turn
    if isinstance(seen, base.UsageSeen) and turn is not None:
        turn.used(seen)
    elif isinstance(seen, base.Interrupted) and turn is not None:
        await end_turn(core, outcome_of(turn.interrupt or InterruptCause.USER))
    elif isinstance(seen, base.TurnContinued) and turn is not None:
        await goes_on(core, turn)
    elif isinstance(seen, base.CommandDone):
        await command_runs(core)
        if core.turn is not None and _is_command(core.turn):
            await end_turn(core, TurnOutcome.COMPLETED, text=seen.output)


async def _clear_after_interrupt(core: Core) -> None:
    """ESC before the first output leaves no mark, and puts the prompt back into the box."""
    turn, agent = core.turn, core.agent
    if turn is None or agent is None or turn.interrupt is None or turn.has_output:
        return
    if core.around.clock() < core.interrupted_at + _UNMARKED_SECONDS:
        return
    is_empty = await agent.clear_input()
    await end_turn(core, outcome_of(turn.interrupt))
    if not is_empty:
        await restart(core, reason="Interrupted")


def _is_command(turn: Turn) -> bool:
    return turn.prompt.startswith("/")


def _is_pasting_command(core: Core) -> bool:
    pasting = core.pasting
    return pasting is not None and pasting.message.kind is MessageKind.AGENT_COMMAND
