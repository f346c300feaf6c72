"""gRPC's words about handshakes, as reasons."""

from __future__ import annotations

import pytest

from repobridge.tls_failures import meaning

CONNECTING = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (
            "UNKNOWN: ipv4:10.0.0.7:7443: Custom verification check failed with error:"
            " UNAUTHENTICATED: Hostname Verification Check failed.",
            "OTHER_BRIDGE",
        ),
        (
            "UNKNOWN: ipv4:10.0.0.7:7443: Tls handshake failed (TSI_PROTOCOL_FAILURE):"
            " SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
            "CERTIFICATE_VERIFY_FAILED: certificate has expired: OK",
            "CERTIFICATE_EXPIRED",
        ),
        (
            "UNKNOWN: ipv4:10.0.0.7:7443: Tls handshake failed (TSI_PROTOCOL_FAILURE):"
            " SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
            "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
            "CERTIFICATE_UNTRUSTED",
        ),
        (
            "UNKNOWN: ipv4:10.0.0.7:7443: Tls handshake failed (TSI_PROTOCOL_FAILURE):"
            " SSL_ERROR_SSL: error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
            "HANDSHAKE_FAILED",
        ),
        ("UNAVAILABLE: ipv4:10.0.0.7:7443: Socket closed", "CERTIFICATE_REFUSED"),
        ("UNAVAILABLE: ipv6:%5Bfd00::7%5D:7443: Socket closed", "CERTIFICATE_REFUSED"),
        ("UNAVAILABLE: unix:/run/runner.sock: Socket closed", None),
        (
            "UNKNOWN: ipv4:10.0.0.7:7443: Failed to connect to remote host: Connection refused",
            None,
        ),
        ("", None),
    ],
)
def test_what_ended_a_handshake_has_a_reason(details: str, reason: str | None) -> None:
    found = meaning(CONNECTING + details)
    assert (found and found.reason) == reason


def test_a_connection_that_broke_later_is_no_matter_of_certificates() -> None:
    assert meaning("Socket closed") is None
