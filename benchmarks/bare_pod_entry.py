"""What runs in a bare pod: the bare CLI once, from its start to its prompt, and nothing beside it.

The first process of the pod. It gets the modules of the baseline through its environment, as the
image has the session-runner's alone, and says what it measured in the pod's termination message:
when its own process began, by the kernel's clock, and how many seconds the CLI took.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

from benchmarks.bare_claude import BareClaude
from benchmarks.process_start import began_at
from repobridge_runner.settings import AgentSettings

SAID = Path("/dev/termination-log")


async def main() -> None:
    """Measures and says it."""
    directory, home = Path("/tmp/work"), Path("/tmp/home")
    directory.mkdir()
    agent = AgentSettings(executable=str(shutil.which("claude")))
    environment = {**os.environ, "HOME": str(home)}
    bare = BareClaude(agent, directory=directory, home=home, environment=environment)
    try:
        seconds = await bare.start()
    finally:
        await bare.close()
    SAID.write_text(json.dumps({"began": began_at(os.getpid()), "seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main())
