"""A subreaper with orphans, children of asyncio, of subprocess and on terminals, all at once.

Prints as JSON how each of them ended, how many orphans were reaped, and which zombies are left.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from repobridge.process import children, make_process_private
from repobridge_runner.reaper import Reaper
from repobridge_runner.terminal import Terminal, WindowSize

ORPHANS = 20
ENVIRONMENT = {"PATH": os.environ["PATH"]}


async def by_asyncio(number: int) -> int:
    process = await asyncio.create_subprocess_exec("sh", "-c", f"sleep 0.0{number}; exit {number}")
    return await process.wait()


async def by_subprocess(number: int) -> int:
    words = ["sh", "-c", f"exit {number}"]
    return (await asyncio.to_thread(subprocess.run, words, check=False)).returncode


async def by_terminal(number: int) -> int | None:
    terminal = await Terminal.spawn(
        ["sh", "-c", f"exit {number}"],
        environment=ENVIRONMENT,
        directory=Path("/"),
        size=WindowSize(80, 24),
    )
    await asyncio.sleep(0.2)  # as long as several scans
    return (await terminal.wait()).code


async def orphan() -> None:
    process = await asyncio.create_subprocess_exec("sh", "-c", "(setsid sleep 0.05 &)")
    await process.wait()


async def main() -> None:
    make_process_private()
    reaper = Reaper(scan_seconds=0.02)
    async with asyncio.timeout(60):
        running = asyncio.create_task(reaper.run())
        makers = [asyncio.create_task(orphan()) for _ in range(ORPHANS)]
        told = {
            "asyncio": await asyncio.gather(*(by_asyncio(n) for n in range(9))),
            "subprocess": await asyncio.gather(*(by_subprocess(n) for n in range(9))),
            "terminal": await asyncio.gather(*(by_terminal(n) for n in range(9))),
        }
        await asyncio.gather(*makers)
        while reaper.reaped < ORPHANS:
            await asyncio.sleep(0.01)
        running.cancel()
    left = [child.name for child in children(os.getpid())]
    json.dump({**told, "reaped": reaper.reaped, "left": left}, sys.stdout)


asyncio.run(main())
