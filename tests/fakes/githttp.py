"""A smart-HTTP git server on loopback: git's own http-backend behind basic auth.

Strict where the real ones are: no credentials, or wrong ones, are 401 with a challenge.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

USERNAME = "bridge"
PASSWORD = "p4ss w/rd:with@signs"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


def git(directory: Path, *arguments: str, **variables: str) -> str:
    """Runs git as a person would, outside of all that is tested."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={**ENVIRONMENT, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.rstrip("\n")


def make_repository(path: Path, files: dict[str, str | bytes]) -> Path:
    """A repository with one commit on `main`; `x/y` names a file in a folder."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "uploadpack.allowFilter", "true")
    git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(path, "config", "receive.denyCurrentBranch", "ignore")
    git(path, "config", "http.receivepack", "true")
    commit(path, files)
    return path


def commit(path: Path, files: dict[str, str | bytes], message: str = "change") -> str:
    """Commits files; returns the commit."""
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", message)
    return git(path, "rev-parse", "HEAD")


class GitServer:
    """Serves the repositories below a folder; counts requests, and can hold them at a gate."""

    def __init__(self, root: Path, *, password: str | None) -> None:
        self.root = root
        self.password = password
        self.url = ""
        self.requests: list[str] = []
        self.refused = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.packing = asyncio.Event()
        """Set once an authorized client asked for a pack."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        self.requests.append(f"{request.method} {request.path_qs}")
        if not self._is_allowed(request):
            self.refused += 1
            challenge = {"WWW-Authenticate": 'Basic realm="git"'}
            return web.Response(status=401, headers=challenge)
        if request.path.endswith("/git-upload-pack"):
            self.packing.set()
            await self.gate.wait()
        return await self._run_backend(request)

    def _is_allowed(self, request: web.Request) -> bool:
        if self.password is None:
            return True
        expected = base64.b64encode(f"{USERNAME}:{self.password}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {expected}"

    async def _run_backend(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REMOTE_USER": USERNAME,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await process.communicate(body)
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=content)


@asynccontextmanager
async def serve(root: Path, *, password: str | None = PASSWORD) -> AsyncIterator[GitServer]:
    """A running server; without a password anyone may come in."""
    server = GitServer(root, password=password)
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()
