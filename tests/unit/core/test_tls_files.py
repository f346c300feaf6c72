"""Certificate files that are swapped, half swapped and broken."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from repobridge.certificates import Issued, make_ca, make_certificate
from repobridge.tls_files import TlsDirectory, TlsError, TlsMaterial

NOW = datetime.now(UTC)
CA, OTHER_CA = make_ca(now=NOW), make_ca(now=NOW)
GATEWAY = "repobridge://role/gateway"
ENCRYPTED_KEY = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=
-----END ENCRYPTED PRIVATE KEY-----
"""


def material(ca: Issued = CA) -> TlsMaterial:
    issued = make_certificate(ca, now=NOW, uris=[GATEWAY])
    return TlsMaterial(certificate=issued.certificate, key=issued.key, bundle=ca.certificate)


def write(path: Path, found: TlsMaterial) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "tls.crt").write_bytes(found.certificate)
    (path / "tls.key").write_bytes(found.key)
    (path / "ca.crt").write_bytes(found.bundle)


def test_the_files_are_read_and_an_unchanged_read_gives_the_same_object(tmp_path: Path) -> None:
    first = material()
    write(tmp_path, first)
    directory = TlsDirectory(tmp_path)
    found = directory.latest()
    assert found == first
    assert directory.latest() is found


def test_a_secrets_volume_is_followed_through_its_swap(tmp_path: Path) -> None:
    old, new = material(), material(OTHER_CA)
    write(tmp_path / "..one", old)
    write(tmp_path / "..two", new)
    (tmp_path / "..data").symlink_to("..one")
    directory = TlsDirectory(tmp_path)
    assert directory.latest() == old
    (tmp_path / "..next").symlink_to("..two")
    os.replace(tmp_path / "..next", tmp_path / "..data")
    assert directory.latest() == new


def test_files_that_are_half_replaced_wait_for_the_other_half(tmp_path: Path) -> None:
    old, new = material(), material()
    write(tmp_path, old)
    directory = TlsDirectory(tmp_path)
    assert directory.latest() == old
    (tmp_path / "tls.crt").write_bytes(new.certificate)
    assert directory.latest() == old
    (tmp_path / "tls.key").write_bytes(new.key)
    assert directory.latest() == new


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tls.crt", b"junk", "tls.crt and tls.key are not a certificate and its key"),
        ("tls.key", make_ca(now=NOW).key, "key values mismatch"),
        ("tls.key", ENCRYPTED_KEY, "tls.crt and tls.key are not a certificate and its key"),
        ("ca.crt", b"", "ca.crt holds no certificate"),
        ("ca.crt", b"junk", "ca.crt holds no certificate"),
        ("ca.crt", b"\xff", "ca.crt holds no certificate"),
        ("tls.key", None, "tls.key: No such file or directory"),
    ],
)
def test_a_broken_file_keeps_the_last_good_ones_and_is_told_once(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    good = material()
    write(tmp_path, good)
    directory = TlsDirectory(tmp_path)
    directory.latest()
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert [directory.latest() for _ in "123"] == [good] * 3
    [line] = caplog.records
    assert line.getMessage() == "certificate files refused, the last good ones stay"
    with pytest.raises(TlsError, match=message):
        TlsDirectory(tmp_path).latest()
    assert message in str(line.__dict__["repobridge_fields"]["error"])
    assert str(tmp_path) in str(line.__dict__["repobridge_fields"]["error"])


def test_a_key_is_never_printed() -> None:
    assert "PRIVATE" not in repr(material())
