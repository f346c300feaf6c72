"""A gateway's store at work until it is killed: says on stdout what was confirmed.

store_child.py DIRECTORY: takes in messages, hands them over and answers them, in many conversations
at once; `received N`, `submitted N`, `answered N`, `stands N` tell of message N.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from repobridge.session.events import Cursor
from repobridge_gateway import steady
from repobridge_gateway.store.port import Delivery
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import message, piece, snowflake

CHANNELS = 8


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def bridge_of(channel: int) -> str:
    return f"bridge {channel}"


async def work(store: SqliteStore, channel: int) -> None:
    """One bridge: messages CHANNELS * k + channel, answered one by one."""
    bridge = bridge_of(channel)
    reached = await store.outbox.delivered(bridge)
    for sequence in itertools.count(reached.sequence + 1 if reached else 1):
        number = sequence * CHANNELS + channel
        receipt = await store.inbox.receive(
            message(number, channel=f"{channel + 1}"),
            bridge=bridge,
            conversation="main",
            take=True,
        )
        say(f"received {number}")
        if receipt.is_new:
            assert receipt.is_taken
        await store.inbox.submitted(snowflake(number), version=1)
        say(f"submitted {number}")
        answer = piece(f"turn {number}", channel=f"{channel + 1}", files=(b"file",))
        await store.outbox.deliver(
            Delivery(
                bridge=bridge,
                cursor=Cursor("log", sequence),
                pieces=(answer,),
                ended=(snowflake(number),),
            )
        )
        say(f"answered {number}")
        while mine := [due for due in await store.outbox.due() if due.bridge == bridge]:
            await store.outbox.begin(mine[0].send_id, now=steady.now())
            await store.outbox.sent(mine[0].send_id, message_id=f"{number}")
        say(f"stands {number}")


async def main(directory: Path) -> None:
    store = await SqliteStore.open(directory)
    await asyncio.gather(*(work(store, channel) for channel in range(CHANNELS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
