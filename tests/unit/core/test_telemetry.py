from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from repobridge import telemetry
from repobridge.telemetry import LogFormat


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_is_one_object_a_line_with_time_level_message_and_fields(stream: io.StringIO) -> None:
    telemetry.configure(LogFormat.JSON, stream=stream)
    telemetry.Logger("a").bind(repo="payments").info("session started", llm="claude", channels=2)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "level": "INFO",
        "msg": "session started",
        "repo": "payments",
        "llm": "claude",
        "channels": 2,
    }


def test_text_is_a_line_that_reads_well_and_quotes_what_needs_it(stream: io.StringIO) -> None:
    telemetry.configure(stream=stream)
    telemetry.Logger("a").warning("rate limited", user="Ada L", channel=12, empty="", ok=True)
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3} WARNING rate limited user="Ada L" channel=12 empty="" ok=true\n',
        stream.getvalue(),
    )


def test_a_field_cannot_forge_a_second_line_or_send_escapes(stream: io.StringIO) -> None:
    telemetry.configure(stream=stream)
    telemetry.Logger("a").info("message received", text="x\n12:00:00 ERROR forged \x1b[31m")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_field_named_like_the_envelope_does_not_replace_it(stream: io.StringIO) -> None:
    telemetry.configure(LogFormat.JSON, stream=stream)
    telemetry.Logger("a").info("session started", level="high")
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["field_level"]) == ("INFO", "high")


def test_secrets_are_redacted_wherever_they_stand(stream: io.StringIO) -> None:
    telemetry.configure(
        LogFormat.JSON, stream=stream, redact=lambda line: line.replace("s3cret", "•••")
    )
    try:
        raise ValueError("token s3cret refused")
    except ValueError as error:
        telemetry.Logger("a").error("session creation failed", cause=error, token="s3cret")
    assert "s3cret" not in stream.getvalue()
    assert json.loads(stream.getvalue())["error"] == "token ••• refused"


def test_a_traceback_follows_the_line_in_text(stream: io.StringIO) -> None:
    telemetry.configure(stream=stream)
    try:
        raise ValueError("boom")
    except ValueError as error:
        telemetry.Logger("a").error("send to llm failed", cause=error)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR   send to llm failed error=boom")
    assert rest[0] == "    Traceback (most recent call last):"


def test_records_of_libraries_come_out_in_the_same_form(stream: io.StringIO) -> None:
    telemetry.configure(LogFormat.JSON, stream=stream)
    logging.getLogger("asyncio").error("took %s s", 3)
    entry = json.loads(stream.getvalue())
    assert (entry["msg"], entry["logger"]) == ("took 3 s", "asyncio")


def test_debug_is_silent_unless_asked_for(stream: io.StringIO) -> None:
    telemetry.configure(stream=stream)
    telemetry.Logger("a").debug("polled")
    assert stream.getvalue() == ""
    telemetry.configure(stream=stream, level=logging.DEBUG)
    telemetry.Logger("a").debug("polled 100%")
    assert stream.getvalue().endswith("DEBUG   polled 100%\n")
