"""A process that starts a terminal, names its child, and then does nothing."""

import asyncio
import os
from pathlib import Path

from repobridge_runner.terminal import Terminal, WindowSize


async def main() -> None:
    terminal = await Terminal.spawn(
        ["sleep", "1000"],
        environment={"PATH": os.environ["PATH"]},
        directory=Path("/"),
        size=WindowSize(80, 24),
    )
    os.write(1, f"{terminal.pid}\n".encode())
    await terminal.wait()


asyncio.run(main())
