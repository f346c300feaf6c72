"""Starts a cluster's supervisor in its own namespaces, and follows it until the node is ready."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.cluster import packages, places
from tests.cluster.periods import Periods
from tests.cluster.places import Place
from tests.cluster.plan import Plan, Said
from tests.cluster.probe_image import build_probe
from tests.clustertools.build import build_missing
from tests.clustertools.cache import Cache
from tests.clustertools.catalog import TOOLS

PROJECT = Path(__file__).parents[2]
NEEDED_TOOLS = (
    "etcd",
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)
_ENDING_SECONDS = 60.0

Say = Callable[[str], None]


class LaunchFailed(Exception):
    """The cluster did not come up; nothing of it is left."""


class NeedsRoot(Exception):
    """Namespaces, mounts and control groups are for root alone."""


@dataclass(frozen=True)
class Parts:
    """All that a cluster is made of, installed and built."""

    tools: Mapping[str, Path]
    programs: packages.Programs
    probe: Path


def get_parts(environment: Mapping[str, str], say: Say) -> Parts:
    """Installs and builds what is missing: the first time minutes, then nothing."""
    if os.geteuid() != 0:
        raise NeedsRoot("A node needs root: it makes namespaces, mounts and control groups.")
    programs = packages.ensure_programs(say)
    cache = Cache.from_environment(environment)
    build_missing([TOOLS[name] for name in NEEDED_TOOLS], cache, tell=say)
    tools = {name: path for name in NEEDED_TOOLS if (path := cache.find(TOOLS[name]))}
    go = Path(sys.prefix) / "bin" / "go"
    return Parts(tools, programs, build_probe(go=go, cache=cache.root.parent))


def launch(
    place: Place,
    parts: Parts,
    *,
    periods: Periods,
    is_tied: bool,
    say: Say,
    has_imitations: bool = False,
) -> subprocess.Popen[bytes]:
    """Starts a cluster and returns once its node is ready.

    A tied cluster ends when the returned process's standard input is closed, which the kernel does
    however we end; another one ends by `end`. What earlier clusters left is removed first.
    """
    for name in places.sweep(place.root):
        say(f"removed what an earlier cluster left: {name}")
    began = time.monotonic()
    with contextlib.ExitStack() as held:
        lock = held.enter_context(places.swept(place))
        listener = held.enter_context(_listener())
        page = held.enter_context(_listener()) if has_imitations else None
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as report:
            plan = Plan(
                place=place,
                tools=parts.tools,
                programs=parts.programs,
                probe=parts.probe,
                periods=periods,
                listener=listener.fileno(),
                port=listener.getsockname()[1],
                report=writing,
                is_tied=is_tied,
                page=None if page is None else page.fileno(),
                page_port=0 if page is None else page.getsockname()[1],
            )
            try:
                process = _start(plan, lock)
            finally:
                os.close(writing)
            try:
                _follow(
                    report, place, lambda line: say(f"{time.monotonic() - began:5.1f} s  {line}")
                )
            except BaseException:
                _stop(process, place)
                raise
    return process


def end(place: Place) -> bool:
    """Ends the cluster of that name, and returns once all of it is gone; False if there is none."""
    was_alive = False
    deadline = time.monotonic() + _ENDING_SECONDS
    while True:
        # Each time anew: one that just starts has not said yet who it is.
        if (state := place.read_state()) is not None and state.is_alive:
            was_alive = True
            os.kill(state.pid, signal.SIGTERM)
        try:
            with places.swept(place):
                place.lock.unlink()
        except places.ClusterRuns:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return was_alive


def finish(process: subprocess.Popen[bytes]) -> None:
    """Ends a tied cluster, and waits until all of it is gone."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(_ENDING_SECONDS)


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _start(plan: Plan, lock: int) -> subprocess.Popen[bytes]:
    plan.place.directory.mkdir(mode=0o700)
    plan.place.logs.mkdir()
    plan.file.write_text(plan.dump())
    passed = (lock, plan.listener, plan.report, *(() if plan.page is None else (plan.page,)))
    namespaces = ["unshare", "--pid", "--mount", "--net", "--fork", "--kill-child"]
    with (plan.place.logs / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            [*namespaces, sys.executable, "-m", "tests.cluster.supervisor", str(plan.file)],
            cwd=PROJECT,
            stdin=subprocess.PIPE if plan.is_tied else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=passed,
            start_new_session=True,
        )


def _follow(report: IO[bytes], place: Place, say: Say) -> None:
    for line in report:
        said = Said.parse(line)
        if said.has_failed:
            raise LaunchFailed(said.line)
        say(said.line)
        if said.is_final:
            return
    raise LaunchFailed(f"The supervisor ended before the node was ready. It said: {_words(place)}")


def _words(place: Place) -> str:
    log = place.logs / "supervisor.log"
    return log.read_text(errors="replace").strip() if log.exists() else "nothing"


def _stop(process: subprocess.Popen[bytes], place: Place) -> None:
    if process.stdin is not None:
        process.stdin.close()
    elif (state := place.read_state()) is not None and state.is_alive:
        os.kill(state.pid, signal.SIGTERM)
    else:
        process.kill()
    process.wait(_ENDING_SECONDS)
