"""What the agent reports, in the order of its hooks, becomes the events of turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from repobridge.errors import Refusal
from repobridge.session.events import (
    Body,
    Notice,
    Severity,
    TurnError,
    TurnOrigin,
    TurnOutcome,
)
from repobridge.telemetry import Logger
from repobridge_runner.agents import base
from repobridge_runner.session import aftermath, asking, watching
from repobridge_runner.session.core import Core
from repobridge_runner.session.mail import Reported
from repobridge_runner.session.pasting import is_prompt
from repobridge_runner.session.turns import end_turn, goes_on, open_turn
from repobridge_runner.turn import Turn

_log = Logger("repobridge.session")


async def take(core: Core, mail: Reported) -> None:
    """Takes one report of the live agent."""
    core.last_activity = core.around.clock()
    match mail.report:
        case base.PromptTaken() as report:
            await _prompt_taken(core, report)
        case base.TextShown() as shown:
            if not core.has_ended_block(shown.block_id):
                await _in_turn(core, shown.prompt_id, lambda turn: turn.text(shown))
        case base.ToolBegan() as began:
            await _in_turn(core, began.prompt_id, lambda turn: turn.tool_began(began))
        case base.ToolFinished() as finished:
            await asking.answered_in_terminal(core, finished)
            await _in_turn(core, finished.prompt_id, lambda turn: turn.tool_finished(finished))
        case base.PermissionWanted() | base.QuestionsAsked() as asked:
            await asking.ask(core, await _turn_of(core, asked.prompt_id), mail)
        case base.TurnStopped() as stopped:
            await _stopped(core, stopped)
        case base.TurnFailed() as failed:
            await _failed(core, failed)
        case base.Compacting():
            await watching.command_runs(core)
        case base.Compacted() as compacted:
            told = {"trigger": compacted.trigger}
            await core.emit(Notice(Severity.INFO, "Compacted", told))
        case base.AgentExited() as exited:
            await aftermath.agent_exited(core, exited.status)


async def _turn_of(core: Core, prompt_id: str) -> Turn | None:
    """The turn that a report belongs to; None for one that ended.

    A prompt that nobody submitted opens a turn of its own: a background task, a schedule.
    """
    if core.has_ended(prompt_id):
        return None
    if core.turn is not None:
        await goes_on(core, core.turn)
    if core.turn is None and core.pasting is None and prompt_id:
        origin = TurnOrigin.CRON if core.session_crons else TurnOrigin.BACKGROUND
        await open_turn(core, origin, prompt_id=prompt_id)
    return core.turn


async def _in_turn(core: Core, prompt_id: str, tell: Callable[[Turn], Iterable[Body]]) -> None:
    turn = await _turn_of(core, prompt_id)
    if turn is not None:
        turn.prompt_ids.add(prompt_id)
        await core.emit(*tell(turn))


async def _prompt_taken(core: Core, report: base.PromptTaken) -> None:
    turn = core.turn
    if core.has_ended(report.prompt_id):
        return
    if turn is not None and turn.is_resuming:
        turn.prompt_ids.add(report.prompt_id)
        await goes_on(core, turn)
        return
    if turn is not None and report.prompt_id in turn.prompt_ids:
        return  # the hook came twice
    core.has_draft = False
    if core.pasting and is_prompt(report.prompt, core.pasting.message.prompt):
        message = core.pasting.message
        if turn is not None:
            await end_turn(core, TurnOutcome.COMPLETED)
        core.pasting = None
        core.exits_in_paste = 0
        core.mailbox.disarm()
        await open_turn(core, TurnOrigin.MESSAGE, prompt_id=report.prompt_id, message=message)
    elif turn is not None:
        turn.prompt_ids.add(report.prompt_id)  # typed or queued into the running turn
    else:
        origin = _origin_of(report.prompt, crons=core.session_crons)
        await open_turn(core, origin, prompt_id=report.prompt_id, prompt=report.prompt)


async def _stopped(core: Core, report: base.TurnStopped) -> None:
    core.background_tasks = report.background_tasks
    core.session_crons = report.session_crons
    turn = await _turn_of(core, report.prompt_id)
    if turn is None:
        return
    try:
        await watching.wait_for_usage(core, turn)
        if core.turn is turn:
            await core.emit(*turn.rest_of(report.text))
    except Refusal as refusal:  # a full disk; for the end itself there is room set aside
        _log.warning("last text not told", conversation=core.conversation_id, error=str(refusal))
    if core.turn is turn:
        await end_turn(core, TurnOutcome.COMPLETED, text=report.text)


async def _failed(core: Core, report: base.TurnFailed) -> None:
    if await _turn_of(core, report.prompt_id) is None:
        return
    error = TurnError(report.code, core.around.redactor.text(report.message))
    await end_turn(core, TurnOutcome.FAILED, error=error)
    if report.code == "rate_limit":
        await core.emit(Notice(Severity.WARNING, "ProviderLimited"))


def _origin_of(prompt: str, *, crons: int) -> TurnOrigin:
    if prompt.lstrip().startswith("<task-notification"):
        return TurnOrigin.BACKGROUND
    return TurnOrigin.CRON if crons else TurnOrigin.TERMINAL
