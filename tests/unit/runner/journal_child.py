"""A process that writes to a journal and says what was confirmed, until it is killed."""

import asyncio
import functools
import itertools
import os
import sys
from pathlib import Path

from repobridge.session import events
from repobridge_runner.journal import Journal, Transaction

WRITERS = 16


def event(name: str) -> events.Event:
    return events.Event(events.TextDelta("block", markdown=name), "main")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def write_for_ever(journal: Journal, writer: int) -> None:
    for number in itertools.count():
        name = f"{writer}.{number}"
        sequence = await journal.write(functools.partial(Transaction.append, event=event(name)))
        say(f"{sequence} {name}")


async def stop_inside_an_act(journal: Journal) -> None:
    """One act is on disk; the next has appended and is killed before its commit."""

    def hang(transaction: Transaction) -> None:
        say(f"inside {transaction.append(event('never'))}")
        os.read(0, 1)

    say(f"{await journal.write(lambda t: t.append(event('kept')))} kept")
    await journal.write(hang)


async def main(directory: str, scenario: str) -> None:
    journal = await Journal.open(Path(directory))
    if scenario == "inside":
        await stop_inside_an_act(journal)
    else:
        await asyncio.gather(*(write_for_ever(journal, writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
