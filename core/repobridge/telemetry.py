"""Structured logs: a constant message plus fields, as text for people or JSON for machines.

Built on the standard library's logging, so that libraries' records come out in the same form. A
redaction that the caller gives sees every line before it is written.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

Redact = Callable[[str], str]
_FIELDS = "repobridge_fields"
_BARE = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


class LogFormat(Enum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


class Logger:
    """A logger whose every line is a constant message and named fields."""

    def __init__(self, name: str, fields: Mapping[str, object] | None = None) -> None:
        self._logger = logging.getLogger(name)
        self._fields = dict(fields or {})

    def bind(self, **fields: object) -> Logger:
        """The same logger with fields that every line carries."""
        return Logger(self._logger.name, self._fields | fields)

    def debug(self, message: str, /, **fields: object) -> None:
        """Logs steady state."""
        self._log(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Logs a change."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Logs what a person may want to look at."""
        self._log(logging.WARNING, message, fields)

    def error(
        self, message: str, /, *, cause: BaseException | None = None, **fields: object
    ) -> None:
        """Logs a failure; with `cause`, its traceback too."""
        self._log(logging.ERROR, message, fields, cause)

    def log(self, level: int, message: str, /, **fields: object) -> None:
        """Logs at a level of the standard library."""
        self._log(level, message, fields)

    def _log(
        self,
        level: int,
        message: str,
        fields: Mapping[str, object],
        cause: BaseException | None = None,
    ) -> None:
        if self._logger.isEnabledFor(level):
            # The message goes as an argument: a "%" in it is text.
            extra = {_FIELDS: {**self._fields, **fields}}
            self._logger.log(level, "%s", message, extra=extra, exc_info=cause)


def configure(
    log_format: LogFormat = LogFormat.TEXT,
    *,
    stream: TextIO | None = None,
    level: int = logging.INFO,
    redact: Redact | None = None,
    colour: bool = False,
) -> None:
    """Sends every log of this process to `stream` (default: stderr), in one form."""
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = _JsonLines() if log_format is LogFormat.JSON else _TextLines(colour=colour)
    handler.setFormatter(_Redacted(formatter, redact) if redact else formatter)
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)


def set_level(level: int) -> None:
    """Logs from another level on."""
    logging.getLogger().setLevel(level)
    for library in ("asyncio", "grpc"):  # their steady state is not ours
        logging.getLogger(library).setLevel(max(level, logging.INFO))


class _Redacted(logging.Formatter):
    def __init__(self, inner: logging.Formatter, redact: Redact) -> None:
        super().__init__()
        self._inner = inner
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._inner.format(record))


class _JsonLines(logging.Formatter):
    """One object a line: time, level, msg, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "msg": record.getMessage(),
        }
        for key, value in _fields(record).items():
            line[f"field_{key}" if key in line else key] = value
        return json.dumps(line, default=_plain, ensure_ascii=False)


class _TextLines(logging.Formatter):
    """A clock, the level, the message, then key=value."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        trace = str(fields.pop("traceback", ""))
        time = _time(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level = self._paint(f"{record.levelname:<7}", _COLOURS.get(record.levelno, "36"))
        pairs = (f" {self._paint(key + '=', '2')}{_quoted(value)}" for key, value in fields.items())
        line = f"{time} {level} {_CONTROLS.sub(' ', record.getMessage())}{''.join(pairs)}"
        # A traceback is for people: its lines follow, indented so that no line is taken for a log.
        return line + "".join(f"\n    {each}" for each in trace.splitlines())

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, _FIELDS, None)
    result = dict(fields) if fields is not None else {"logger": record.name}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        result.setdefault("error", str(error) or type(error).__name__)
        result["traceback"] = "".join(traceback.format_exception(error)).rstrip()
    return result


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)


def _quoted(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = str(_plain(value))
    if _BARE.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)
