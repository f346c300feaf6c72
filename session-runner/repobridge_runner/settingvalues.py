"""What the settings' values must be beyond their kinds: each wrong one told by its field."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable
from typing import Any

from repobridge.telemetry import LogFormat
from repobridge.unix_socket import SCHEME

PERMISSION_MODES = ("acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan")
_Check = tuple[str, Callable[[Any], bool], str]


def wrong_value(settings: Any) -> str:
    """The first wrong value as `field: value is not …`; empty when all are right."""
    for path, is_right, expected in _CHECKS:
        value = settings
        for name in path.split("."):
            value = getattr(value, name)
        if not is_right(value):
            return f"{path}: {json.dumps(value, default=str)[:80]} is not {expected}"
    if settings.listen_address and not settings.tls_directory:
        return "tls_directory: is missing; listen_address takes nobody in without certificates"
    return ""


def _is_uuid(value: str) -> bool:
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_address(value: str) -> bool:
    found = re.fullmatch(r".*:([0-9]{1,5})", value)
    return not value or (found is not None and int(found[1]) < 1 << 16)


def _is_machine_address(value: str) -> bool:
    return (value.startswith(SCHEME) and os.path.isabs(value.removeprefix(SCHEME))) or _is_address(
        value
    )


def _is_positive(value: float) -> bool:
    return 0 < value < float("inf")


_POSITIVE = (
    "live_sessions",
    "queue_length",
    "request_expiry_seconds",
    "confirm_seconds",
    "log_max_bytes",
    "agent.start_seconds",
)
_NOT_NEGATIVE = ("draft_seconds", "shutdown_grace_seconds", "guard_root_pid")
_FORMATS = tuple(each.value for each in LogFormat)
_CHECKS: tuple[_Check, ...] = (
    ("bridge_uid", _is_uuid, "a UUID"),
    (
        "agent.permission_mode",
        PERMISSION_MODES.__contains__,
        "one of " + ", ".join(PERMISSION_MODES),
    ),
    ("log_format", _FORMATS.__contains__, "one of " + ", ".join(_FORMATS)),
    ("listen_address", _is_address, "HOST:PORT"),
    ("metrics_address", _is_machine_address, "HOST:PORT or unix:/PATH"),
    *((name, _is_positive, "above zero") for name in _POSITIVE),
    *((name, lambda value: _is_positive(value + 1), "zero or more") for name in _NOT_NEGATIVE),
)
