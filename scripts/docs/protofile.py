"""A .proto file as protoc reads it, with the comments that stand in it."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent.parent
_INCLUDED = (f"-I{ROOT / 'core'}", f"-I{Path(protoc.__file__).parent / '_proto'}")

# The numbers of the fields that lead through a FileDescriptorProto, as source locations name them.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
METHODS, FIELDS, NESTED_MESSAGES, NESTED_ENUMS, VALUES = 2, 2, 3, 4, 2


class ProtoFile:
    """A .proto file, and what is said at every place of it."""

    def __init__(self, descriptor: FileDescriptorProto) -> None:
        self.descriptor = descriptor
        self._places = {tuple(p.path): p for p in descriptor.source_code_info.location}

    def comment(self, *path: int) -> str:
        """The comment above a place or behind it; lines keep their indentation."""
        place = self._places.get(path)
        if place is None:
            return ""
        return (place.leading_comments.strip("\n") or place.trailing_comments).rstrip()

    def line(self, *path: int) -> int:
        """On which line a place is."""
        return self._places[path].span[0]


@cache
def read(name: str) -> ProtoFile:
    """A .proto file below core/."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        options = ["--include_source_info", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *_INCLUDED, *options, name]):
            raise RuntimeError(f"protoc refused {name}")
        return ProtoFile(FileDescriptorSet.FromString(out.read_bytes()).file[0])
