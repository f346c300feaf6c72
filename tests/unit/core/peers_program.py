"""Processes for test_guarded.py: a guarded health server, its guard root, and clients.

server PATH GUARD_ROOT UID   serves, then starts a client for each kind read from stdin
root PATH                    starts such a server as its child, itself the guard root; then likewise
client PATH KIND             says "served" or "refused" on stdout

Kinds: self, child, grandchild, orphan, nobody.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
NOBODY = 65534


def knock(path: str) -> str:
    """Connects and says whether a gRPC server answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        try:
            connection.connect(path)
            connection.sendall(PREFACE)
            return "served" if connection.recv(9) else "refused"
        except (ConnectionError, PermissionError):
            return "refused"


def say(word: str) -> None:
    os.write(1, word.encode() + b"\n")


def become_orphan() -> None:
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.001)


def client(path: str, kind: str) -> None:
    if kind == "orphan":
        become_orphan()
    if kind == "nobody":
        os.setuid(NOBODY)
    say(knock(path))


def start(path: str, kind: str) -> None:
    words = [sys.executable, "-I", "-S", __file__, "client", path, kind]
    if kind == "grandchild":
        words = ["sh", "-c", '"$@"; exit 0', "sh", *words]
    subprocess.run(words, check=True)


def obey(path: str) -> None:
    for line in sys.stdin:
        kind = line.strip()
        if kind == "self":
            say(knock(path))
        else:
            start(path, kind)


async def server(path: str, guard_root: int, uid: int) -> None:
    import grpc
    from grpc_health.v1 import health, health_pb2_grpc

    from repobridge.guarded import GuardedSocket
    from repobridge.peers import outside_of
    from repobridge.process import make_process_private

    await asyncio.to_thread(int)  # imports what another user might not be able to
    if uid != os.getuid():
        os.setuid(uid)
    make_process_private()
    with tempfile.TemporaryDirectory() as directory:
        inner = Path(directory) / "inner"
        grpc_server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), grpc_server)
        grpc_server.add_insecure_port(f"unix:{inner}")
        check = outside_of(guard_root or os.getpid())
        guarded = await GuardedSocket.open(Path(path), inner_path=inner, check=check)
        await grpc_server.start()
        say("ready")
        await asyncio.to_thread(obey, path)
        await guarded.close()
        await grpc_server.stop(0)


def root(path: str) -> None:
    from repobridge.process import make_process_private

    make_process_private()
    words = [sys.executable, __file__, "server", path, str(os.getpid()), str(os.getuid())]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as served:
        obey(path)
        assert served.stdin is not None
        served.stdin.close()


if __name__ == "__main__":
    command, where, *rest = sys.argv[1:]
    if command == "server":
        asyncio.run(server(where, int(rest[0]), int(rest[1])))
    elif command == "root":
        root(where)
    else:
        client(where, rest[0])
