"""Holds a Lease until SIGTERM; says on its output when it leads, and when no longer.

python -m tests.programs.lease_holder KUBECONFIG NAMESPACE NAME IDENTITY DURATION
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from repobridge.lease import Lease
from repobridge.lease_record import Timing
from tests.apiserver.access import open_client


async def hold(kubeconfig: str, namespace: str, name: str, identity: str, duration: str) -> None:
    """Waits, leads, and releases."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with open_client(Path(kubeconfig)) as api:
        timing = Timing.of(float(duration))
        _say("waits")
        async with Lease.on(
            api, namespace=namespace, name=name, identity=identity, timing=timing
        ) as lease:
            _say("leads")
            ends = [asyncio.create_task(each.wait()) for each in (stopping, lease.lost)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            _say("lost" if lease.lost.is_set() else "leaves")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(hold(*sys.argv[1:]))
