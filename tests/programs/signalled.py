"""Says on stdout what signals ask of it; with `--terminal` stdin is its controlling terminal."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios

from repobridge_gateway.signals import signals


def say(text: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main() -> None:
    """Listens until it is to end."""
    ended = asyncio.Event()

    def end() -> None:
        say("end")
        ended.set()

    def at_once() -> None:
        say("at once")

    def reload() -> None:
        say("reload")

    async with signals(on_first=end, on_second=at_once, on_reload=reload):
        say("listens")
        await ended.wait()


if __name__ == "__main__":
    if "--terminal" in sys.argv:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    asyncio.run(main())
