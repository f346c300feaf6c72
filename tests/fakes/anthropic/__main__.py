"""Runs the imitation by itself: `python -m tests.fakes.anthropic --scenario demo`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Mapping

from tests.fakes.anthropic.demo import demo_persona
from tests.fakes.anthropic.scenarios import echo
from tests.fakes.anthropic.script import Handler
from tests.fakes.anthropic.server import DEFAULT_KEY, FakeAnthropic

SCENARIOS: Mapping[str, Handler] = {"demo": demo_persona, "echo": echo}


async def serve(*, host: str, port: int, key: str, scenario: str) -> None:
    """Serve until SIGINT or SIGTERM, after one line with the base URL."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with FakeAnthropic(handler=SCENARIOS[scenario], key=key, host=host, port=port) as api:
        sys.stdout.write(f"{api.base_url}\n")
        sys.stdout.flush()
        await stopped.wait()
        for refusal in api.refusals:
            sys.stderr.write(f"refused: {refusal}\n")


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.anthropic", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="another, in a network of a test's own")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the only key that it accepts")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="echo")
    arguments = parser.parse_args()
    asyncio.run(serve(**vars(arguments)))


if __name__ == "__main__":
    main()
