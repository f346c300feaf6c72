"""The HTTP address for machines: probes that tell a hung loop from a living one, and metrics."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from repobridge import machine_address
from repobridge.machine_address import MachineAddress


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@asynccontextmanager
async def served(address: str = "127.0.0.1:0") -> AsyncIterator[MachineAddress]:
    registry = CollectorRegistry()
    Counter("turns", "Turns.", registry=registry)
    machines = MachineAddress(address, registry)
    try:
        yield machines
    finally:
        await asyncio.to_thread(machines.close)


async def test_a_probe_fails_until_the_runner_serves() -> None:
    async with served() as machines:
        ask: Callable[..., tuple[int, str]] = get
        assert await asyncio.to_thread(ask, machines.port, "/healthz") == (503, "starting\n")
        machines.serving()
        assert await asyncio.to_thread(ask, machines.port, "/healthz") == (200, "ok\n")


async def test_a_probe_fails_while_the_loop_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_address, "ANSWER_SECONDS", 0.2)
    async with served() as machines:
        machines.serving()
        with ThreadPoolExecutor(1) as others:
            # The loop hangs: nothing but threads goes on.
            status, sentence = others.submit(get, machines.port, "/healthz").result()
    assert (status, sentence) == (503, "the event loop does not answer\n")


async def test_metrics_are_at_every_other_path() -> None:
    async with served() as machines:
        for path in ("/metrics", "/"):
            status, text = await asyncio.to_thread(get, machines.port, path)
            assert (status, "turns_total 0.0" in text) == (200, True)


async def test_no_name_server_is_asked_for_our_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(name: str = "") -> str:
        raise AssertionError(name)

    monkeypatch.setattr(socket, "getfqdn", asked)
    async with served():
        pass


async def test_an_address_of_ipv6_is_taken() -> None:
    async with served("[::1]:0") as machines:
        status, _ = await asyncio.to_thread(get, machines.port, "/metrics", "::1")
    assert status == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
async def test_every_address_is_one_of_either_family(address: str) -> None:
    async with served(address) as machines:
        for host in ("127.0.0.1", "::1"):
            status, _ = await asyncio.to_thread(get, machines.port, "/metrics", host)
            assert status == 200


async def test_a_machine_without_ipv6_is_served_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(machine_address._ServerBoth, "server_bind", refused)
    async with served("0.0.0.0:0") as machines:
        assert (await asyncio.to_thread(get, machines.port, "/metrics"))[0] == 200


async def test_a_path_is_an_address_and_what_a_killed_process_left_there_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with served(f"unix:{path}"):
        with socket.socket(socket.AF_UNIX) as client:
            await asyncio.to_thread(client.connect, str(path))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            client.settimeout(20)
            answer = await asyncio.to_thread(client.makefile("rb").read)
    assert answer.startswith(b"HTTP/1.0 200 OK")
    assert b"turns_total 0.0" in answer


async def test_an_address_in_use_is_an_error_at_once() -> None:
    async with served() as machines:
        with pytest.raises(OSError, match="in use"):
            MachineAddress(f"127.0.0.1:{machines.port}", CollectorRegistry())
