"""A mounted certificate, its key and the CAs to trust, read again whenever they may have changed.

A Secret's volume swaps a symbolic link `..data`, so all three files are read behind one reading
of it. Files that do not fit each other never replace ones that did.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

from repobridge.errors import RepoBridgeError
from repobridge.telemetry import Logger

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"
BUNDLE_FILE = "ca.crt"
_SWAPPED = "..data"
_log = Logger("repobridge.tls")


class TlsError(RepoBridgeError):
    """Certificate files are unusable; the message names the directory and what is wrong."""


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """PEM: a certificate, its private key, and the CAs that a peer's certificate may come from."""

    certificate: bytes
    key: bytes = field(repr=False)
    bundle: bytes


class TlsDirectory:
    """A directory with tls.crt, tls.key and ca.crt; may be asked from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._good: TlsMaterial | None = None
        self._told = ""

    def latest(self) -> TlsMaterial:
        """What the files say, or the last that was good; raises TlsError when nothing ever was.

        The same object comes back while the files say the same.
        """
        with self._lock:
            try:
                found = self._read()
            except TlsError as error:
                return self._kept(error)
            if self._good is not None and found != self._good:
                _log.info("certificate files reloaded", directory=str(self.path))
            if found != self._good:
                self._good = found
            self._told = ""
            assert self._good is not None
            return self._good

    def _kept(self, error: TlsError) -> TlsMaterial:
        if self._good is None:
            raise error
        if str(error) != self._told:
            self._told = str(error)
            _log.error("certificate files refused, the last good ones stay", error=str(error))
        return self._good

    def _read(self) -> TlsMaterial:
        try:
            swapped = self.path / _SWAPPED
            base = (swapped if swapped.exists() else self.path).resolve()
            material = TlsMaterial(
                certificate=(base / CERTIFICATE_FILE).read_bytes(),
                key=(base / KEY_FILE).read_bytes(),
                bundle=(base / BUNDLE_FILE).read_bytes(),
            )
            if material != self._good:
                _check(material, base)
        except OSError as error:  # an ssl.SSLError is one too, without a file's name
            raise TlsError(f"{self.path}: {_sentence(error)}") from error
        except ValueError as error:
            raise TlsError(f"{self.path}: {BUNDLE_FILE} holds no certificate: {error}.") from error
        return material


def _check(material: TlsMaterial, base: Path) -> None:
    """Raises when the key is not the certificate's, or no CA can be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Without a password of our own, an encrypted key would be asked for on the terminal.
    context.load_cert_chain(base / CERTIFICATE_FILE, base / KEY_FILE, password="")
    try:
        context.load_verify_locations(cadata=material.bundle.decode("ascii"))
    except ssl.SSLError as error:
        raise ValueError(error.reason or str(error)) from error
    if not context.get_ca_certs():
        raise ValueError("it is empty")


def _sentence(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).lower().replace("_", " ")
        return f"{CERTIFICATE_FILE} and {KEY_FILE} are not a certificate and its key: {why}."
    return f"{Path(error.filename).name if error.filename else 'a file'}: {error.strerror}."
