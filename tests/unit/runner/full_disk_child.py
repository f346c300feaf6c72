"""A journal on a small volume that really fills up; prints what was seen as one JSON object."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from repobridge.errors import Refusal
from repobridge.session import events
from repobridge.session.events import Cursor
from repobridge_runner.journal import Journal
from repobridge_runner.log import EventLog, LogBounds

RESERVE_BYTES = 2 << 20
CHUNK = events.Event(events.TextDelta("block", markdown="x" * 10_000), "main")
TURN_ENDED = events.Event(
    events.TurnEnded(events.TurnOutcome.COMPLETED, final_markdown="y" * 200_000), "main"
)


async def outcome(log: EventLog, *new: events.Event) -> str:
    try:
        await log.append(*new)
    except Refusal as refusal:
        return refusal.reason
    return "ok"


def fill(directory: Path) -> Path:
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            os.fsync(file)
    return filler


async def fill_with_events(log: EventLog) -> int:
    confirmed = 0
    while await outcome(log, CHUNK) == "ok":
        confirmed += 1
    return confirmed


async def open_log(directory: Path) -> tuple[Journal, EventLog]:
    journal = await Journal.open(directory / "state", reserve_bytes=RESERVE_BYTES)
    return journal, EventLog(journal, bounds=LogBounds(), clock=time.time)


async def main(directory: Path) -> dict[str, object]:
    seen: dict[str, object] = {}
    reserve = directory / "state" / "journal.reserve"
    journal, log = await open_log(directory)
    await log.append(CHUNK, CHUNK)
    filler = fill(directory)
    confirmed = 2 + await fill_with_events(log)
    seen["full"] = log.disk_state().full
    seen["reserve held"] = reserve.exists()
    seen["text"] = await outcome(log, CHUNK)
    seen["group"] = await asyncio.gather(
        outcome(log, CHUNK), outcome(log, CHUNK, TURN_ENDED), outcome(log, CHUNK)
    )
    seen["reserve spent"] = not reserve.exists()
    seen["turn's end"] = await outcome(log, TURN_ENDED)
    seen["small text"] = await outcome(log, events.Event(events.TextDelta("b", markdown="x")))
    seen["ack"] = (await log.ack("gateway", Cursor(log.log_id, 2))).sequence
    confirmed += 3
    await journal.close()

    journal, log = await open_log(directory)
    seen["reopened"] = log.last_sequence == confirmed
    seen["text after reopening"] = await outcome(log, CHUNK)
    filler.unlink()
    seen["text with room again"] = await outcome(log, CHUNK)
    seen["reserve restored"] = reserve.stat().st_blocks * 512 >= RESERVE_BYTES
    reader = log.subscribe(Cursor(log.log_id, 0))
    replayed = [(await anext(reader)).sequence for _ in range(log.last_sequence)]
    seen["replayed"] = replayed == list(range(1, confirmed + 2))
    await journal.close()
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
