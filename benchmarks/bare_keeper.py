"""The least that takes messages in and keeps them: discord.py, a pipe, and two commits for each.

    python -m benchmarks.bare_keeper

The configuration: `token` and `api_base` of the imitation; `directory`, for two databases. They
stand for the gateway's and the runner's, and are as durable.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from benchmarks.arrived import Arrived
from benchmarks.commanded import Json, configuration, obey
from repobridge.durable.files import writer_connection

_TABLE = ("CREATE TABLE messages (message_id INTEGER PRIMARY KEY, content TEXT)",)
_END_SECONDS = 10.0


async def main(config: Json) -> None:
    """Keeps until nobody tells it anything any more."""
    arrived = Arrived()
    loop = asyncio.get_running_loop()

    def note(message_id: str, at: float) -> None:
        loop.call_soon_threadsafe(arrived.note_at, message_id, at)

    words = (sys.executable, "-m", "benchmarks.bare_bot", config["api_base"], config["token"])
    with subprocess.Popen(words, stdout=subprocess.PIPE) as bot:
        assert bot.stdout is not None
        keeping = threading.Thread(
            target=_keep, args=(bot.stdout, Path(config["directory"]), note), name="keeper"
        )
        keeping.start()
        await obey({"arrived": arrived.arrived}, ready={"pid": bot.pid})
        bot.terminate()
        keeping.join(_END_SECONDS)


def _keep(lines: IO[bytes], directory: Path, note: Callable[[str, float], None]) -> None:
    directory.mkdir()
    kept = [_database(directory / name) for name in ("gateway.sqlite", "runner.sqlite")]
    for line in lines:
        message_id, content = json.loads(line)
        for database in kept:  # each statement is a commit
            database.execute("INSERT INTO messages VALUES (?, ?)", (int(message_id), content))
        note(message_id, time.monotonic())
    for database in kept:
        database.close()


def _database(path: Path) -> sqlite3.Connection:
    return writer_connection(path, migrations=[_TABLE])


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
