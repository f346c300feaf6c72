"""Bytes pass both ways, whole, bounded, and each direction ends on its own."""

from __future__ import annotations

import asyncio
import os
import socket

from repobridge.relay import BUFFER_BYTES, relay


class Ends:
    """A relay with a plain socket before it and one behind."""

    def __init__(self) -> None:
        self.before, one = socket.socketpair()
        other, self.behind = socket.socketpair()
        for each in (self.before, one, other, self.behind):
            each.setblocking(False)
        self.relaying = asyncio.create_task(relay(one, other))


async def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while piece := await asyncio.get_running_loop().sock_recv(connection, 1 << 16):
        data += piece
    return bytes(data)


async def test_a_side_that_has_ended_still_gets_the_other_sides_answer() -> None:
    loop = asyncio.get_running_loop()
    ends = Ends()
    question, answer = os.urandom(1 << 20), os.urandom(3 << 20)

    asking = asyncio.create_task(loop.sock_sendall(ends.before, question))
    asking.add_done_callback(lambda _: ends.before.shutdown(socket.SHUT_WR))
    asked = await read_all(ends.behind)
    answering = asyncio.create_task(loop.sock_sendall(ends.behind, answer))
    answering.add_done_callback(lambda _: ends.behind.close())
    answered = await read_all(ends.before)

    await asyncio.wait_for(ends.relaying, 60)
    assert (asked, answered) == (question, answer)


async def test_a_side_that_does_not_read_holds_up_the_other_in_bounded_memory() -> None:
    ends = Ends()
    sent = 0

    async def push() -> None:
        nonlocal sent
        while True:
            await asyncio.get_running_loop().sock_sendall(ends.before, bytes(4096))
            sent += 4096

    pushing = asyncio.create_task(push())
    last = -1
    while sent != last:  # until it stands still
        last = sent
        for _ in range(100):  # all of it runs in this loop: rounds count, and no time
            await asyncio.sleep(0)

    # The kernel's buffers of four sockets, ours, and one read beyond.
    assert 0 < sent < BUFFER_BYTES * 2 + 4 * 256 * 1024
    pushing.cancel()
    ends.relaying.cancel()
    await asyncio.gather(pushing, ends.relaying, return_exceptions=True)


async def test_when_one_side_breaks_off_the_other_is_closed() -> None:
    ends = Ends()
    await asyncio.get_running_loop().sock_sendall(ends.before, b"hello")
    assert await asyncio.get_running_loop().sock_recv(ends.behind, 9) == b"hello"

    ends.before.close()
    rest = await read_all(ends.behind)
    ends.behind.close()

    await asyncio.wait_for(ends.relaying, 60)
    assert rest == b""


async def test_cancelling_closes_both_sides() -> None:
    ends = Ends()
    await asyncio.sleep(0)

    ends.relaying.cancel()
    await asyncio.wait([ends.relaying])

    assert (await read_all(ends.before), await read_all(ends.behind)) == (b"", b"")
