"""When messages had arrived, as a benchmark asks for it."""

import asyncio

from benchmarks.arrived import Arrived


async def test_who_asks_waits_for_the_last_message_and_hears_each_ones_first_time() -> None:
    arrived = Arrived()
    arrived.note_at("1", 1.0)
    asking = asyncio.create_task(arrived.arrived(["2", "1"], seconds=60))
    await asyncio.sleep(0)
    assert not asking.done()
    arrived.note_at("2", 2.0)
    arrived.note_at("2", 3.0)  # a repeat says nothing new
    assert await asking == {"at": [2.0, 1.0], "missing": []}


async def test_what_does_not_arrive_is_named() -> None:
    arrived = Arrived()
    arrived.note_at("1", 1.0)
    assert await arrived.arrived(["1", "2"], seconds=0) == {"at": [1.0], "missing": ["2"]}
