from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

RELAY = (sys.executable, "-m", "repobridge_runner", "relay", "--socket")
_SECONDS = 60.0


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(os.fspath(tmp_path / "s"))
        listening.listen()
        listening.settimeout(_SECONDS)
        yield listening


def _start(path: Path, output: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*RELAY, path], stdin=pipe, stdout=output, stderr=pipe)


def _accepted(listener: socket.socket) -> socket.socket:
    connection, _ = listener.accept()
    connection.settimeout(_SECONDS)
    return connection


def _read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while data := connection.recv(1 << 16):
        received += data
    return bytes(received)


def test_bytes_go_both_ways_and_the_end_of_the_input_is_a_half_close(
    listener: socket.socket, tmp_path: Path
) -> None:
    sent, answered = os.urandom(300_000), os.urandom(700_000)
    output = tmp_path / "output"
    with output.open("wb") as sink, _start(tmp_path / "s", sink) as process:
        connection = _accepted(listener)
        assert process.stdin is not None
        process.stdin.write(sent)
        process.stdin.close()
        with connection:
            assert _read_all(connection) == sent
            connection.sendall(answered)
        assert process.wait(_SECONDS) == 0
    assert output.read_bytes() == answered


def test_it_ends_with_the_runner_though_its_input_stays_open(
    listener: socket.socket, tmp_path: Path
) -> None:
    with _start(tmp_path / "s") as process:
        connection = _accepted(listener)
        connection.close()
        assert process.wait(_SECONDS) == 0


def test_it_ends_when_nobody_reads_its_output(listener: socket.socket, tmp_path: Path) -> None:
    with _start(tmp_path / "s") as process:
        connection = _accepted(listener)
        assert process.stdout is not None
        process.stdout.close()
        with connection:
            connection.sendall(b"to nobody")
            assert process.wait(_SECONDS) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""


def test_without_a_runner_it_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run([*RELAY, tmp_path / "s"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"repobridge-runner: No runner listens at {tmp_path}/s: No such file or directory.\n",
    )
