"""Calls and messages, from the .proto files and the comments in them."""

from __future__ import annotations

import re

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    MethodDescriptorProto,
)

from repobridge.errors import Status
from scripts.docs.protofile import (
    ENUMS,
    FIELDS,
    MESSAGES,
    METHODS,
    NESTED_ENUMS,
    NESTED_MESSAGES,
    SERVICES,
    VALUES,
    ProtoFile,
    read,
)
from scripts.docs.tables import code, table

SESSION = "repobridge/session/v1/session.proto"
LOCAL = "repobridge/local/v1/local.proto"
_STATUSES = {status.value for status in Status}
_REFUSALS = re.compile(rf"\s*\b(?:{'|'.join(_STATUSES)}) [A-Z_]{{4,}}.*", re.DOTALL)
_REFUSAL = re.compile(r"\b(?P<word>[A-Z][A-Z_]{3,})\b(?:\s*\((?P<note>[^)]*)\))?")


def calls(name: str) -> str:
    """Every call: what it takes and gives, what it does, how it is refused."""
    file = read(name)
    methods = enumerate(file.descriptor.service[0].method)
    return "\n\n".join(_call(m, file.comment(SERVICES, 0, METHODS, i)) for i, m in methods)


def messages(name: str) -> str:
    """Every message and enumeration, in the order of the file."""
    return "\n\n".join(_messages(read(name)))


def _call(method: MethodDescriptorProto, said: str) -> str:
    takes = f"{'stream ' * method.client_streaming}{_short(method.input_type)}"
    gives = f"{'stream ' * method.server_streaming}{_short(method.output_type)}"
    words, refused = _parted(said)
    parts = [f"#### {method.name}", f"`{takes}` → `{gives}`", words]
    if refused:
        parts.append(table(("Status", "Reason", "Note"), refused))
    return "\n\n".join(part for part in parts if part)


def _parted(said: str) -> tuple[str, list[tuple[str, str, str]]]:
    """What a comment says, and the refusals that end it."""
    match = _REFUSALS.search(said)
    if not match:
        return _flowed(said), []
    rows, status, end = [], "", 0
    for found in _REFUSAL.finditer(match[0]):
        end = found.end()
        if found["word"] in _STATUSES:
            status = found["word"]
        else:
            rows.append((code(status), code(found["word"]), found["note"] or ""))
    rest = _flowed(match[0][end:]).strip(" ;.,")
    words = _flowed(said[: match.start()])
    return (f"{words} {rest[:1].upper()}{rest[1:]}." if rest else words), rows


def _messages(file: ProtoFile) -> list[str]:
    found: list[tuple[int, str]] = []
    for index, message in enumerate(file.descriptor.message_type):
        path = (MESSAGES, index)
        found.append((file.line(*path), _message(file, message, path, message.name)))
    for index, enum in enumerate(file.descriptor.enum_type):
        path = (ENUMS, index)
        found.append((file.line(*path), _enum(file, enum, path, enum.name)))
    return [text for _, text in sorted(found)]


def _message(file: ProtoFile, message: DescriptorProto, path: tuple[int, ...], name: str) -> str:
    parts = [f"#### {name}", _flowed(file.comment(*path))]
    if message.field:
        parts.append(_fields(file, message, path))
    elif not message.nested_type:
        parts.append("(no fields)")
    maps = {nested.name for nested in message.nested_type if nested.options.map_entry}
    for index, enum in enumerate(message.enum_type):
        parts.append(_enum(file, enum, (*path, NESTED_ENUMS, index), f"{name}.{enum.name}"))
    for index, nested in enumerate(message.nested_type):
        if nested.name not in maps:
            inner = (*path, NESTED_MESSAGES, index)
            parts.append(_message(file, nested, inner, f"{name}.{nested.name}"))
    return "\n\n".join(part for part in parts if part)


def _fields(file: ProtoFile, message: DescriptorProto, path: tuple[int, ...]) -> str:
    entries = {n.name: n for n in message.nested_type if n.options.map_entry}
    rows = []
    for index, field in enumerate(message.field):
        said = _flowed(file.comment(*path, FIELDS, index))
        if field.HasField("oneof_index"):
            group = message.oneof_decl[field.oneof_index].name
            said = f"one of *{group}*{'. ' + said if said else ''}"
        rows.append((code(field.name), str(field.number), code(_kind(field, entries)), said))
    return table(("Field", "Number", "Type", "Meaning"), rows)


def _enum(file: ProtoFile, enum: EnumDescriptorProto, path: tuple[int, ...], name: str) -> str:
    rows = [
        (code(value.name), str(value.number), _flowed(file.comment(*path, VALUES, index)))
        for index, value in enumerate(enum.value)
    ]
    about = _flowed(file.comment(*path))
    parts = [f"#### {name}", about, table(("Value", "Number", "Meaning"), rows)]
    return "\n\n".join(part for part in parts if part)


def _kind(field: FieldDescriptorProto, entries: dict[str, DescriptorProto]) -> str:
    name = _short(field.type_name)
    if name in entries:
        key, value = entries[name].field
        return f"map<{_kind(key, {})}, {_kind(value, {})}>"
    kind = name or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {kind}" if repeated else kind


def _short(type_name: str) -> str:
    return type_name.rpartition(".")[2]


def _flowed(text: str) -> str:
    return " ".join(text.split())
