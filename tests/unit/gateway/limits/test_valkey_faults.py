"""Valkey that is away, slow, emptied, full, or closed to us: it is said, and nothing is doubled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import MovedError, ResponseError

from repobridge.errors import Refusal, Status
from repobridge_gateway.limits.budget import Amount
from repobridge_gateway.limits.ledger import GRANTED, Answer, Used
from repobridge_gateway.limits.valkey.connection import ValkeySettings, translated
from repobridge_gateway.limits.valkey.ledger import ValkeyLedger
from tests.ports import free_port
from tests.unit.gateway.limits.charges import (
    DAILY,
    LARGE,
    TODAY,
    USER_BUCKET,
    Clock,
    charge,
    reservation,
    row,
    spending,
)
from tests.valkey import ValkeyServer, serving

UNREACHABLE = (Status.UNAVAILABLE, "LEDGER_UNREACHABLE")
DENIED = (Status.UNAVAILABLE, "LEDGER_DENIED")
Open = Callable[[ValkeySettings], ValkeyLedger]


@pytest.fixture
async def opened(clock: Clock) -> AsyncIterator[Open]:
    """Opens ledgers that are closed when the test is over."""
    async with AsyncExitStack() as stack:

        def open_ledger(settings: ValkeySettings) -> ValkeyLedger:
            ledger = ValkeyLedger(settings, clock=clock)
            stack.push_async_callback(ledger.close)
            return ledger

        yield open_ledger


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """One of the test's own, not started yet."""
    server = ValkeyServer(tmp_path)
    yield server
    server.stop()


def patient(url: str) -> ValkeySettings:
    """Settings for a machine on which everything takes long."""
    return ValkeySettings(url=url, timeout_seconds=60)


async def refusal_of(ledger: ValkeyLedger) -> tuple[Status, str]:
    with pytest.raises(Refusal) as refused:
        await ledger.charge(charge(99, USER_BUCKET))
    return refused.value.status, refused.value.reason


async def until_granted(ledger: ValkeyLedger, number: int) -> Answer:
    """What a caller hears who tries until there is an answer."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Refusal):
                return await ledger.charge(charge(number, USER_BUCKET))


async def test_a_server_that_is_down_is_said_and_used_as_soon_as_it_is_up(
    server: ValkeyServer, opened: Open
) -> None:
    ledger = opened(patient(server.url))
    assert await refusal_of(ledger) == UNREACHABLE
    server.start()
    assert (await until_granted(ledger, 1)).is_granted
    server.stop()
    assert await refusal_of(ledger) == UNREACHABLE


async def test_a_server_that_hangs_is_given_up_and_charges_once_when_it_goes_on(
    server: ValkeyServer, opened: Open
) -> None:
    server.start()
    ledger = opened(patient(server.url))
    hasty = opened(replace(patient(server.url), timeout_seconds=0.2))
    await ledger.charge(charge(1, USER_BUCKET))
    await until_granted(hasty, 1)
    server.freeze()
    assert await refusal_of(hasty) == UNREACHABLE
    server.thaw()
    # What was asked of the server while it hung it may have done since: under the same id.
    assert (await ledger.charge(charge(99, USER_BUCKET))).is_granted
    answers = [await ledger.charge(charge(number, USER_BUCKET)) for number in (2, 3)]
    assert [answer.is_granted for answer in answers] == [True, False]


async def test_whoever_goes_while_the_server_hangs_takes_nobody_along(
    server: ValkeyServer, opened: Open
) -> None:
    server.start()
    ledger = opened(patient(server.url))
    await ledger.charge(charge(0, USER_BUCKET))
    server.freeze()
    callers = [asyncio.create_task(ledger.charge(charge(n, LARGE))) for n in range(10)]
    callers.append(asyncio.create_task(ledger.charge(charge(0, USER_BUCKET))))
    for number in (0, 5, 1):  # 0 waits for the server alone, and then 1 for all those behind it
        for _ in range(50):
            await asyncio.sleep(0)
        callers[number].cancel()
        await asyncio.wait([callers[number]])
    server.thaw()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    gone = [isinstance(answer, asyncio.CancelledError) for answer in answers]
    assert gone == [number in (0, 1, 5) for number in range(11)]
    assert {answer for answer in answers if isinstance(answer, Answer)} == {GRANTED}


async def test_scripts_that_a_server_has_forgotten_are_given_to_it_again(
    server: ValkeyServer, opened: Open
) -> None:
    server.start()
    ledger = opened(patient(server.url))
    for _ in range(2):
        with redis.Redis(port=server.port) as client:
            client.script_flush()
        # The first goes alone, and those behind it together, each with a script of its own.
        await asyncio.gather(
            ledger.charge(charge(1, USER_BUCKET)),
            ledger.reserve(reservation(1, DAILY)),
            ledger.spend(spending("t", Used(output=5), DAILY)),
            ledger.release("1", "1"),
            ledger.standing("1", [DAILY]),
        )
    (standing,) = await ledger.standing("1", [DAILY])
    assert (standing.spent, standing.reserved) == (Amount(tokens=5), Amount())


async def test_a_server_that_was_emptied_begins_anew_and_it_is_said(
    server: ValkeyServer, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    server.start()
    ledger = opened(patient(server.url))
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            await ledger.charge(charge(number, USER_BUCKET))
        await ledger.spend(spending("t", Used(output=1000), DAILY))
        assert caplog.messages == []
        with redis.Redis(port=server.port) as client:
            client.flushall()
            client.script_flush()
        assert (await ledger.charge(charge(3, USER_BUCKET))).is_granted
        spent = await ledger.spend(spending("u", Used(output=1), DAILY))
    assert caplog.messages == ["ledger was emptied, limits and budgets begin anew"]
    assert spent.exhausted == ()
    assert await ledger.usage("1", since=TODAY, until=TODAY) == [row(Used(output=1))]


async def test_a_server_without_memory_says_so_and_writes_nothing(
    server: ValkeyServer, opened: Open
) -> None:
    server.start()
    ledger = opened(patient(server.url))
    await ledger.charge(charge(1, USER_BUCKET))
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory", 1)
        assert await refusal_of(ledger) == (Status.RESOURCE_EXHAUSTED, "LEDGER_FULL")
        client.config_set("maxmemory", 0)
        assert client.dbsize() == 3  # the mark, the first message, and the bucket


async def test_a_replica_is_not_written_to(server: ValkeyServer, opened: Open) -> None:
    server.start("--replicaof", "127.0.0.1", "1")
    assert await refusal_of(opened(patient(server.url))) == UNREACHABLE


async def test_passwords_and_rights_are_asked_for(server: ValkeyServer, opened: Open) -> None:
    server.start("--requirepass", "secret", "--user", "reader", "on", ">r", "~*", "+@read")
    settings = patient(server.url)
    assert await refusal_of(opened(settings)) == DENIED
    assert await refusal_of(opened(replace(settings, password="wrong"))) == DENIED
    assert await refusal_of(opened(replace(settings, username="reader", password="r"))) == DENIED
    allowed = opened(replace(settings, password="secret"))
    assert (await allowed.charge(charge(1, USER_BUCKET))).is_granted


async def test_a_cluster_is_used_by_a_client_that_knows_it_whole(
    valkey: ValkeyServer, opened: Open
) -> None:
    settings = replace(patient(valkey.url), prefix="whole", is_cluster=True)
    ledger = opened(settings)
    await ledger.charge(charge(1, USER_BUCKET))
    await ledger.spend(spending("t", Used(output=1), DAILY))
    assert await ledger.usage("1", since=TODAY, until=TODAY) == [row(Used(output=1))]
    assert await ledger.trim(usage_days=-1) == 1


async def test_a_server_is_known_by_its_certificate(tmp_path: Path, opened: Open) -> None:
    certificate = make_certificate(tmp_path, "ours", name="localhost")
    other = make_certificate(tmp_path, "theirs", name="localhost")
    port = free_port()
    options = ("--tls-port", str(port), "--tls-auth-clients", "no")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(certificate))
    with serving(tmp_path, (*options, *files, "--port", "0")):
        settings = patient(f"rediss://localhost:{port}/0")
        trusting = opened(replace(settings, ca_file=str(certificate)))
        assert (await trusting.charge(charge(1, USER_BUCKET))).is_granted
        assert await refusal_of(opened(replace(settings, ca_file=str(other)))) == UNREACHABLE


@pytest.mark.parametrize(
    ("error", "status", "reason", "words"),
    [
        (MovedError("866 10.0.0.7:6379"), Status.INTERNAL, "LEDGER_FAILED", "it is a cluster"),
        (ResponseError("BUSY with a script"), *UNREACHABLE, "BUSY with a script"),
        (ResponseError("ERR what?"), Status.INTERNAL, "LEDGER_FAILED", "ERR what?"),
    ],
)
def test_what_a_server_says_is_passed_on(
    error: Exception, status: Status, reason: str, words: str
) -> None:
    refusal = translated(error)
    assert (refusal.status, refusal.reason, refusal.__cause__) == (status, reason, error)
    assert words in refusal.message


def make_certificate(directory: Path, file: str, *, name: str) -> Path:
    """A certificate that vouches for itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{file}.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    )
    return path
