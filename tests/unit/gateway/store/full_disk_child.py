"""A store on a small volume that really fills up; prints what was seen as one JSON object."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable
from pathlib import Path

from repobridge.errors import Refusal
from repobridge.session.events import Cursor
from repobridge_gateway import steady
from repobridge_gateway.store.port import Delivery
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import BRIDGE, message, piece, snowflake

LARGE = "x" * 20_000


async def outcome(act: Awaitable[object]) -> str:
    try:
        await act
    except Refusal as refusal:
        return f"{refusal.status.name} {refusal.reason}"
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


async def sent(store: SqliteStore, send_id: int) -> None:
    assert await store.outbox.begin(send_id, now=steady.now()) is not None
    await store.outbox.sent(send_id, message_id=f"{send_id}")


async def main(directory: Path) -> dict[str, object]:
    seen: dict[str, object] = {}
    store = await SqliteStore.open(directory / "store")

    def receive(number: int) -> Awaitable[object]:
        return store.inbox.receive(
            message(number, content=LARGE), bridge=BRIDGE, conversation="main"
        )

    await receive(1)
    await store.outbox.say(BRIDGE, [piece("before"), piece("another", channel="9")])
    filler = fill(directory)
    confirmed = 1
    while (last := await outcome(receive(confirmed + 1))) == "ok":
        confirmed += 1
    seen["a message"] = last
    pieces = tuple(piece("turn", n, files=(b"f" * 50_000,)) for n in range(20))
    delivery = Delivery(
        bridge=BRIDGE, cursor=Cursor("log", 1), pieces=pieces, ended=(snowflake(1),)
    )
    seen["an answer"] = await outcome(store.outbox.deliver(delivery))
    seen["pieces of it"] = len(await store.outbox.due()) - 2
    seen["its place in the log"] = await store.outbox.delivered(BRIDGE) is not None
    seen["still read"] = len(await store.inbox.queue(BRIDGE, "main")) == confirmed
    seen["on their way"] = [
        await outcome(sent(store, due.send_id)) for due in await store.outbox.due()
    ]
    seen["counted"] = (await store.outbox.counts())["DONE"]
    seen["made room"] = await outcome(store.trim([BRIDGE]))
    seen["a small message"] = await outcome(
        store.inbox.receive(message(90_000), bridge=BRIDGE, conversation="main")
    )
    await store.close()
    filler.unlink()

    store = await SqliteStore.open(directory / "store")
    seen["kept"] = len(await store.inbox.queue(BRIDGE, "main")) == confirmed
    filler = fill(directory)
    while await outcome(receive(confirmed + 1)) == "ok":
        confirmed += 1
    filler.unlink()
    seen["with room again"] = [
        await outcome(receive(confirmed + 1)),
        await outcome(store.outbox.deliver(delivery)),
    ]
    (due,) = await store.outbox.due()
    sending = await store.outbox.begin(due.send_id, now=steady.now())
    seen["sent whole"] = sending is not None and sending.piece == pieces[0]
    await store.close()
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
