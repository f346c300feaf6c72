"""Names of files as Discord leaves them, and what a name tells of the content."""

from __future__ import annotations

import re
import unicodedata

from repobridge_gateway.render.pieces import FILE_NAME_UNITS

_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_SUFFIX = 12
_LANGUAGES = {
    "py": "python", "pyi": "python", "js": "javascript", "mjs": "javascript", "jsx": "jsx",
    "ts": "typescript", "tsx": "tsx", "rs": "rust", "go": "go", "rb": "ruby", "java": "java",
    "kt": "kotlin", "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "hpp": "cpp", "cs": "csharp",
    "php": "php", "swift": "swift", "sh": "bash", "bash": "bash", "sql": "sql", "html": "html",
    "css": "css", "scss": "scss", "xml": "xml", "json": "json", "yaml": "yaml", "yml": "yaml",
    "toml": "toml", "ini": "ini", "md": "md", "diff": "diff", "patch": "diff", "lua": "lua",
    "ex": "elixir", "tf": "hcl", "proto": "protobuf", "txt": "", "log": "",
}  # fmt: skip
_SUFFIXES = {
    "python": "py", "javascript": "js", "typescript": "ts", "rust": "rs", "ruby": "rb",
    "kotlin": "kt", "csharp": "cs", "bash": "sh", "shell": "sh", "console": "log", "text": "txt",
    "plaintext": "txt", "log": "log", "logs": "log", "output": "log", "patch": "diff",
    "markdown": "md", "golang": "go", "c++": "cpp", "dockerfile": "dockerfile",
    "elixir": "ex", "hcl": "tf", "terraform": "tf", "protobuf": "proto", "yml": "yaml",
}  # fmt: skip
_MEDIA_TYPES = {
    "md": "text/markdown", "diff": "text/x-diff", "json": "application/json", "html": "text/plain",
}  # fmt: skip


def safe_file_name(name: str, *, fallback: str = "file.txt") -> str:
    """The last part of a path as a name that nothing misreads: ASCII, short, never hidden."""
    last = re.split(r"[/\\]", name.rstrip("/\\ "))[-1]
    ascii_only = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    plain = _OTHERS.sub("_", ascii_only).strip("._-")
    if not plain:
        return fallback
    stem, dot, suffix = plain.rpartition(".")
    if not stem or len(suffix) > _MOST_SUFFIX:
        return plain[:FILE_NAME_UNITS]
    return stem[: FILE_NAME_UNITS - len(dot + suffix)] + dot + suffix


def numbered(name: str, taken: set[str]) -> str:
    """The name, or where it is taken another one; it is taken from then on."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    told, number = name, 1
    while told in taken:
        number += 1
        told = f"{stem[: FILE_NAME_UNITS - len(dot + suffix) - 4]}-{number}{dot}{suffix}"
    taken.add(told)
    return told


def language_of(name: str) -> str:
    """The language in which Discord colours a file; empty where it knows none."""
    _, dot, suffix = name.rpartition(".")
    return _LANGUAGES.get(suffix.lower(), "") if dot else ""


def suffix_of(language: str) -> str:
    """How the name of a file in a language ends."""
    known = _SUFFIXES.get(language.lower())
    if known:
        return known
    return language.lower() if language.lower() in _LANGUAGES else "txt"


def media_type_of(name: str) -> str:
    """What to tell Discord that a text file is; never something that a browser would run."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "text/plain")
