"""What gRPC's words about a failed handshake mean for people.

gRPC tells a handshake's end in prose only, so this one module reads it.
"""

from __future__ import annotations

import re

from repobridge.errors import Refusal, Status

_WRONG_NAME = "Hostname Verification Check failed"
_UNVERIFIED = "CERTIFICATE_VERIFY_FAILED"
_EXPIRED = f"{_UNVERIFIED}: certificate has expired"
_FAILED = "Tls handshake failed"
# TLS 1.3 lets a client finish before the server has looked at its certificate.
_HUNG_UP = re.compile(
    r"failed to connect to all addresses; last error: UNAVAILABLE: ipv[46]:\S+ "
    r"(?:Socket closed|recvmsg:Connection reset by peer)"
)


def meaning(details: str) -> Refusal | None:
    """The refusal that a call's details speak of; None when they are not about certificates."""
    if _WRONG_NAME in details:
        return Refusal(
            Status.UNAVAILABLE,
            "OTHER_BRIDGE",
            "Another pod than this bridge's answered at its address; nothing was sent."
            " The bridge's present address is in its status.",
        )
    if _EXPIRED in details:
        return Refusal(
            Status.UNAVAILABLE,
            "CERTIFICATE_EXPIRED",
            "The other side's certificate has expired, or a clock is wrong; see whether the"
            " operator runs, which renews it.",
        )
    if _UNVERIFIED in details:
        return Refusal(
            Status.UNAVAILABLE,
            "CERTIFICATE_UNTRUSTED",
            "The other side's certificate is not from a CA that is trusted here; see whether the"
            " operator runs, which keeps both sides' files current.",
        )
    if _FAILED in details:
        return Refusal(
            Status.UNAVAILABLE,
            "HANDSHAKE_FAILED",
            "The other side does not speak TLS as expected, or ended the handshake.",
        )
    if _HUNG_UP.search(details):
        return Refusal(
            Status.UNAVAILABLE,
            "CERTIFICATE_REFUSED",
            "The other side hung up at the handshake: most likely it takes the certificate that"
            " was shown for expired, or for another CA's. Its log says more.",
        )
    return None
