"""Between the vocabulary of `events` and protobuf: the edge at which protobuf types stop.

The conversion follows the dataclasses' own types, so that a field added to both needs no code here.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from repobridge.session import events
from repobridge.session.v1 import session_pb2 as pb

T = TypeVar("T")
_BODY_FIELDS: dict[type, str] = {
    body: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", body.__name__).lower()
    for body in typing.get_args(events.Body)
}


def event_to_pb(event: events.Event) -> pb.Event:
    """The wire's form of an event."""
    message = pb.Event(
        log_id=event.log_id,
        sequence=event.sequence,
        session_id=event.session_id,
        generation=event.generation,
        turn_id=event.turn_id,
        conversation_id=event.conversation_id,
    )
    if event.at:
        message.at.CopyFrom(timestamp(event.at))
    kind = _BODY_FIELDS[type(event.body)]
    getattr(message, kind).SetInParent()
    _fill(getattr(message, kind), event.body)
    return message


def event_from_pb(message: pb.Event) -> events.Event | None:
    """The event, or None for a kind that this version does not know."""
    kind = message.WhichOneof("kind")
    body = next((body for body, name in _BODY_FIELDS.items() if name == kind), None)
    if kind is None or body is None:
        return None
    return events.Event(
        body=from_pb(body, getattr(message, kind)),
        conversation_id=message.conversation_id,
        session_id=message.session_id,
        generation=message.generation,
        turn_id=message.turn_id,
        log_id=message.log_id,
        sequence=message.sequence,
        at=seconds(message.at),
    )


def to_pb(value: Any, message_type: type[Message]) -> Any:
    """A dataclass of `events` as the message of the same fields."""
    message = message_type()
    _fill(message, value)
    return message


def from_pb(kind: type[T], message: Message) -> T:
    """A message as the dataclass of the same fields; unknown enum values become None."""
    arguments = {name: read(message) for name, _, read in _plan(cast(Any, kind))}
    return kind(**arguments)


def timestamp(at: float) -> Timestamp:
    """Seconds since the epoch as the wire writes them."""
    stamp = Timestamp()
    stamp.FromNanoseconds(round(at * 1_000_000) * 1000)
    return stamp


def seconds(stamp: Timestamp) -> float:
    """The wire's time as seconds since the epoch; 0.0 where it is not set."""
    return stamp.seconds + stamp.nanos / 1e9


def _fill(message: Message, value: Any) -> None:
    for name, write, _ in _plan(cast(Any, type(value))):
        field = getattr(value, name)
        if field is not None:
            write(message, field)


def _fill_present(message: Message, value: Any) -> None:
    message.SetInParent()
    _fill(message, value)


_Write = Callable[[Any, Any], None]
_Read = Callable[[Any], Any]


@cache
def _plan(kind: type) -> tuple[tuple[str, _Write, _Read], ...]:
    hints = typing.get_type_hints(kind)
    return tuple(
        (field.name, *_accessors(field.name, hints[field.name]))
        for field in dataclasses.fields(kind)
    )


def _accessors(name: str, hint: Any) -> tuple[_Write, _Read]:
    optional = isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)
    inner = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint
    origin = typing.get_origin(inner)
    if origin is tuple:
        return _repeated(name, typing.get_args(inner)[0])
    if origin is not None and issubclass(origin, Mapping):
        return (
            lambda m, v: getattr(m, name).update(v),
            lambda m: dict(getattr(m, name)),
        )
    if isinstance(inner, type) and issubclass(inner, Enum):
        members = {member.value: member for member in inner}
        return (
            lambda m, v: setattr(m, name, v.value),
            lambda m: members.get(getattr(m, name)),
        )
    if isinstance(inner, type) and dataclasses.is_dataclass(inner):
        return (
            lambda m, v: _fill_present(getattr(m, name), v),
            lambda m: from_pb(inner, getattr(m, name)) if m.HasField(name) else None,
        )
    if inner is float:
        return (
            lambda m, v: getattr(m, name).CopyFrom(timestamp(v)),
            lambda m: seconds(getattr(m, name)) if m.HasField(name) else None,
        )
    return (lambda m, v: setattr(m, name, v), lambda m: getattr(m, name))


def _repeated(name: str, item: Any) -> tuple[_Write, _Read]:
    if dataclasses.is_dataclass(item) and isinstance(item, type):

        def write(message: Any, values: Any) -> None:
            for value in values:
                _fill(getattr(message, name).add(), value)

        return write, lambda m: tuple(from_pb(item, each) for each in getattr(m, name))
    return (
        lambda m, v: getattr(m, name).extend(v),
        lambda m: tuple(getattr(m, name)),
    )
