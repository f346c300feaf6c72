"""One conversation's session: the state machine between its queue and its agent.

`machine` takes one piece of mail at a time and decides which part acts: `process` starts and ends
the agent, `pasting` brings the next message in, `reporting` takes what the agent reports, `turns`
opens and ends turns, `asking` brings questions to people, `watching` reads the transcript,
`builtin` carries out commands of our own, `aftermath` judges after a crash. All of them act on the
one `core`.
"""

from repobridge_runner.session.machine import Session
from repobridge_runner.session.surroundings import Place, Surroundings

__all__ = ["Place", "Session", "Surroundings"]
