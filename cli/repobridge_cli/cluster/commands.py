"""wake, sleep, sessions and logs of a bridge in a cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Coroutine

from repobridge import telemetry
from repobridge.errors import Refusal
from repobridge_cli.cluster import observed
from repobridge_cli.cluster.bridge import scale
from repobridge_cli.cluster.exec_stream import CONTAINER
from repobridge_cli.cluster.fleet import opened_bridge
from repobridge_cli.cluster.kubectl import Kubectl
from repobridge_cli.cluster.tables import sessions_table
from repobridge_cli.place import told
from repobridge_gateway.fleet.observed import ClusterError, Observed

DONE, FAILED = 0, 1


def wake(*, name: str, cluster: Kubectl) -> int:
    """Wakes a bridge and says how that goes; returns the exit code."""
    return _carried_out(_wake(cluster, name))


def sleep(*, name: str, cluster: Kubectl, wait: bool) -> int:
    """Has a bridge sleep as soon as its turn ends; returns the exit code."""
    return _carried_out(_sleep(cluster, name, wait=wait))


def sessions(*, name: str, cluster: Kubectl) -> int:
    """Prints what is live in an awake bridge; returns the exit code."""
    return _carried_out(_sessions(cluster, name))


def logs(*, name: str, cluster: Kubectl, follow: bool) -> int:
    """Becomes `kubectl logs` of the bridge's pod; returns only where there is none."""
    return _carried_out(_logs(cluster, name, follow=follow))


def _carried_out(work: Coroutine[None, None, None]) -> int:
    telemetry.configure(level=logging.ERROR)
    try:
        asyncio.run(work)
    except ClusterError as error:
        return _failed(str(error))
    except Refusal as refusal:
        return _failed(refusal.message if refusal.reason != "WAKE_FAILED" else "")
    except KeyboardInterrupt:
        return 130
    return DONE


def _failed(sentence: str) -> int:
    if sentence:
        print(sentence, file=sys.stderr)
    return FAILED


def _say(text: str) -> None:
    print(text, file=sys.stderr)


async def _wake(kubectl: Kubectl, name: str) -> None:
    async with opened_bridge(kubectl, name) as bridge, told(bridge, _say):
        await bridge.awake()


async def _sleep(kubectl: Kubectl, name: str, *, wait: bool) -> None:
    await scale(kubectl, name, 0)
    print(f"{name} sleeps as soon as its turn has ended.")
    if wait:
        async for seen in observed.watch(kubectl, name):
            if seen.phase in {"", "Asleep", "Suspended"} and not seen.pod_uid:
                print(f"{name} sleeps.")
                return


async def _sessions(kubectl: Kubectl, name: str) -> None:
    seen = await _with_pod(kubectl, name)
    async with opened_bridge(kubectl, seen.name) as bridge:
        link = await bridge.present()
        print(sessions_table(await link.client.sessions(), now=time.time()))


async def _logs(kubectl: Kubectl, name: str, *, follow: bool) -> None:
    seen = await _with_pod(kubectl, name)
    more = ("--follow",) if follow else ()
    command = kubectl.command("logs", seen.pod_name, "-c", CONTAINER, *more)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the path is that of the kubectl found


async def _with_pod(kubectl: Kubectl, name: str) -> Observed:
    """The bridge, if it is awake: nobody is woken to be looked at."""
    seen = await observed.get(kubectl, name)
    if not seen.pod_name:
        raise ClusterError(f"{name} sleeps; to wake it: kubectl bridge wake {name}")
    return seen
