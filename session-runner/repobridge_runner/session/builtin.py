"""The agent's commands that the runner itself carries out, as typing them would open a dialog."""

from __future__ import annotations

from dataclasses import replace

from repobridge.session.events import MessageKind, TurnOrigin, TurnOutcome
from repobridge_runner.session.core import Core
from repobridge_runner.session.process import end_agent
from repobridge_runner.session.turns import end_turn, open_turn
from repobridge_runner.store import MessageRow


def is_builtin(message: MessageRow) -> bool:
    """Whether a message is a command of this module."""
    name = message.text.partition(" ")[0]
    return message.kind is MessageKind.AGENT_COMMAND and name in ("/clear", "/model")


async def run_builtin(core: Core, message: MessageRow) -> None:
    """Carries a command out, as a turn of its own with an answer."""
    name, _, words = message.text.partition(" ")
    if name == "/clear":
        await end_agent(core, "Cleared")
        core.next_generation()
        told = "A new session begins; it remembers nothing of the one before."
    else:
        core.row = replace(core.row, model=words)
        core.is_stale = True
        told = f"The model is {words} from the next message on."
    message = replace(message, prompt=message.text, turn_id=core.around.new_id())
    await open_turn(core, TurnOrigin.MESSAGE, message=message)
    await end_turn(core, TurnOutcome.COMPLETED, text=told)
