"""The guarded front door, with a real gRPC server behind it and real processes before it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from repobridge import peers
from repobridge.guarded import GuardedSocket
from repobridge.peers import OutsideOf, Peer, Verdict, only_this_process, outside_of, this_user
from repobridge.unix_socket import SocketError, bind_private

PROGRAM = Path(__file__).with_name("peers_program.py")
CORE = Path(__file__).parents[3] / "core"
NOBODY = 65534
Asked = Callable[[str], str]


@pytest.fixture
def directory() -> Iterator[Path]:
    # Short, because a socket's path is.
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


class Program:
    """A process of peers_program.py, asked on its stdin."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(CORE), "PATH": os.environ["PATH"]},
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, kind: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        return self.line()

    def stop(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=60)


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def started(*words: str) -> Program:
        programs.append(Program(*words))
        return programs[-1]

    yield started
    for program in programs:
        program.process.kill()
        program.process.__exit__(None, None, None)


def knock(path: Path, kind: str = "child") -> str:
    """A connection from a process that the server did not start."""
    words = [sys.executable, "-I", "-S", str(PROGRAM), "client", str(path), kind]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_serves_an_outside_process_and_refuses_whatever_the_server_started(
    directory: Path, start: Callable[..., Program]
) -> None:
    path = directory / "s"
    server = start("server", str(path), "0", str(os.getuid()))

    with grpc.insecure_channel(f"unix:{path}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True
        )
    verdicts = {kind: server.ask(kind) for kind in ("self", "child", "grandchild", "orphan")}

    assert answer == health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert verdicts == {
        "self": "served",
        "child": "refused",
        "grandchild": "refused",
        "orphan": "refused",
    }
    assert knock(path) == "served"
    assert server.stop() == 0
    assert not path.exists()


def test_with_a_guard_root_above_refuses_siblings_and_orphans_that_the_root_adopted(
    directory: Path, start: Callable[..., Program]
) -> None:
    path = directory / "s"
    root = start("root", str(path))

    verdicts = {kind: root.ask(kind) for kind in ("self", "child", "grandchild", "orphan")}

    assert verdicts == {
        "self": "served",
        "child": "refused",
        "grandchild": "refused",
        "orphan": "refused",
    }
    assert knock(path) == "served"


def test_refuses_everybody_once_the_guard_root_has_ended(
    directory: Path, start: Callable[..., Program]
) -> None:
    path = directory / "s"
    with subprocess.Popen(["sleep", "1000"]) as root:
        start("server", str(path), str(root.pid), str(os.getuid()))
        before = knock(path)
        root.kill()

    assert (before, knock(path)) == ("served", "refused")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_refuses_another_user_even_where_the_modes_let_him_in(
    directory: Path, start: Callable[..., Program]
) -> None:
    path = directory / "s"
    start("server", str(path), "0", str(os.getuid()))
    directory.chmod(0o755)
    path.chmod(0o777)

    assert (knock(path), knock(path, "nobody")) == ("served", "refused")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_works_without_privileges_and_closes_its_descriptors_to_its_own_user(
    directory: Path, start: Callable[..., Program]
) -> None:
    os.chown(directory, NOBODY, NOBODY)
    path = directory / "s"
    server = start("server", str(path), "0", str(NOBODY))

    # As root one is another user, and so refused.
    assert (knock(path, "nobody"), knock(path)) == ("served", "refused")
    look = "import os, sys; os.setuid(65534); os.listdir(f'/proc/{sys.argv[1]}/fd')"
    looked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", look, str(server.process.pid)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "PermissionError" in looked.stderr


@pytest.fixture
async def health_server(directory: Path) -> AsyncIterator[tuple[Any, Path]]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    inner = directory / "inner"
    server.add_insecure_port(f"unix:{inner}")
    yield server, inner
    await server.stop(0)


async def check_health(target: str) -> int:
    async with grpc.aio.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest()
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=60)
        return int(answer.status)


async def test_the_inner_socket_has_no_path_any_more(
    directory: Path, health_server: tuple[Any, Path]
) -> None:
    server, inner = health_server
    guarded = await GuardedSocket.open(directory / "s", inner_path=inner, check=this_user)
    await server.start()

    assert not inner.exists()
    assert await check_health(f"unix:{directory / 's'}") == 1
    await guarded.close()


async def test_whoever_reached_the_inner_socket_before_it_was_closed_is_found_out(
    directory: Path, health_server: tuple[Any, Path]
) -> None:
    _, inner = health_server
    intruder = socket.socket(socket.AF_UNIX)
    intruder.connect(str(inner))
    intruder.close()

    with pytest.raises(SocketError, match="somebody connected to the inner socket"):
        await GuardedSocket.open(directory / "s", inner_path=inner, check=this_user)


async def test_a_hundred_connections_at_once_are_served(
    directory: Path, health_server: tuple[Any, Path]
) -> None:
    server, inner = health_server
    guarded = await GuardedSocket.open(directory / "s", inner_path=inner, check=this_user)
    await server.start()
    options = [("grpc.use_local_subchannel_pool", 1)]

    async def one() -> int:
        target = f"unix:{directory / 's'}"
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            request = health_pb2.HealthCheckRequest()
            stub = health_pb2_grpc.HealthStub(channel)
            return int((await stub.Check(request, timeout=90, wait_for_ready=True)).status)

    assert await asyncio.gather(*(one() for _ in range(100))) == [1] * 100
    await guarded.close()


async def test_serve_lasts_until_the_door_is_closed(
    directory: Path, health_server: tuple[Any, Path]
) -> None:
    _, inner = health_server
    guarded = await GuardedSocket.open(directory / "s", inner_path=inner, check=this_user)
    serving = asyncio.create_task(guarded.serve())
    await asyncio.sleep(0)

    await guarded.close()
    await asyncio.wait_for(serving, 60)

    assert not (directory / "s").exists()


async def test_a_refusal_names_the_process(directory: Path) -> None:
    bound = bind_private(directory / "s")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(PROGRAM), "client", str(directory / "s"), "child",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    connection, _ = await asyncio.get_running_loop().sock_accept(bound.listener)
    verdict = outside_of(os.getpid())(connection)
    connection.close()
    out, _ = await child.communicate()
    bound.remove()

    assert out.strip() == b"refused"
    assert verdict.refusal == "descends from the guarded process"
    assert verdict.peer == Peer(pid=child.pid, uid=os.getuid(), name=verdict.peer.name)
    assert verdict.peer.name.startswith("python")


async def test_a_kernel_without_peer_pidfds_is_served_too(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_SO_PEERPIDFD", 9999)
    bound = bind_private(directory / "s")
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(str(directory / "s"))
        connection, _ = await asyncio.get_running_loop().sock_accept(bound.listener)
        verdict = outside_of(os.getpid())(connection)
        connection.close()
    bound.remove()

    assert (verdict.peer.pid, verdict.refusal) == (os.getpid(), "")


async def test_a_peer_that_ended_before_the_check_is_refused(directory: Path) -> None:
    bound = bind_private(directory / "s")
    hasty = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    subprocess.run([sys.executable, "-I", "-S", "-c", hasty, str(directory / "s")], check=True)
    connection, _ = await asyncio.get_running_loop().sock_accept(bound.listener)
    verdict = OutsideOf(os.getpid())(connection)
    connection.close()
    bound.remove()

    assert verdict.refusal == "gone, or its ancestors can't be read"


async def test_only_this_process_passes_its_own_connections_alone(directory: Path) -> None:
    bound = bind_private(directory / "s")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(str(directory / "s"))
        connection, _ = await loop.sock_accept(bound.listener)
        mine = only_this_process(connection)
        connection.close()
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAM), "client", str(directory / "s"), "child"],
        stdout=subprocess.PIPE,
    )
    connection, _ = await loop.sock_accept(bound.listener)
    others = only_this_process(connection)
    connection.close()
    child.communicate()
    bound.remove()

    peer = Peer(pid=os.getpid(), uid=os.getuid())
    assert (mine, others.refusal) == (Verdict(peer), "another process")


def test_the_socket_and_its_directory_are_the_users_alone(directory: Path) -> None:
    bound = bind_private(directory / "new" / "s")

    modes = [stat.S_IMODE(p.stat().st_mode) for p in (directory / "new", directory / "new" / "s")]
    bound.remove()
    assert modes == [0o700, 0o600]


def test_a_directory_that_others_may_enter_is_refused(directory: Path) -> None:
    directory.chmod(0o755)

    with pytest.raises(SocketError, match=f"run: chmod 700 {directory}"):
        bind_private(directory / "s")


def test_a_socket_that_nobody_listens_on_is_replaced(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(directory / "s"))

    bound = bind_private(directory / "s")

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(directory / "s"))
    bound.remove()


@pytest.mark.parametrize("knows_the_lock", [True, False])
def test_a_live_socket_is_not_stolen(directory: Path, knows_the_lock: bool) -> None:
    path = directory / "s"
    listener: Any
    if knows_the_lock:
        listener = bind_private(path).listener
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

    with pytest.raises(SocketError, match="another process listens there"):
        bind_private(path)

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    listener.close()


def test_a_file_in_the_sockets_place_is_left_alone(directory: Path) -> None:
    (directory / "s").write_text("precious")

    with pytest.raises(SocketError, match="is no socket"):
        bind_private(directory / "s")

    assert (directory / "s").read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_named(directory: Path) -> None:
    path = directory / ("x" * 100)

    with pytest.raises(SocketError, match=f"may have 107 bytes, this one has {len(str(path))}"):
        bind_private(path)


def test_a_socket_of_somebody_else_at_the_path_outlives_our_end(directory: Path) -> None:
    path = directory / "s"
    bound = bind_private(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))

        bound.remove()

        assert path.exists()
