"""What the source itself says: its refusals, its log lines, its metrics.

Found in the syntax tree, so that no part has to run, and none is forgotten.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from repobridge.errors import Status
from scripts.docs.tables import code, table

ROOT = Path(__file__).parent.parent.parent
PARTS: Mapping[str, str] = {
    "core": "core/repobridge",
    "gateway": "gateway/repobridge_gateway",
    "runner": "session-runner/repobridge_runner",
    "operator": "operator/repobridge_operator",
}
_UNKNOWN = "…"
_LEVELS = ("debug", "info", "warning", "error")
_METRICS = {"GaugeMetricFamily": "gauge", "CounterMetricFamily": "counter",
            "Gauge": "gauge", "Counter": "counter", "Histogram": "histogram"}  # fmt: skip


def refusals() -> str:
    """Every refusal: its status, its reason, what it tells people, and which part makes it."""
    found: dict[tuple[str, str], tuple[str, set[str]]] = {}
    for part, call in _calls():
        if _name(call.func) == "Refusal" and len(call.args) >= 3:
            status, reason = _status(call.args[0]), _words(call.args[1])
            if status and reason != _UNKNOWN:
                _, parts = found.setdefault((reason, status), (_words(call.args[2]), set()))
                parts.add(part)
    rows = [
        (code(reason), code(status), sentence.strip(_UNKNOWN), ", ".join(sorted(parts)))
        for (reason, status), (sentence, parts) in sorted(found.items())
    ]
    return table(("Reason", "Status", "What people read", "From"), rows)


def logs() -> str:
    """Every log line of info and above: its message, level and fields."""
    found: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for part, call in _calls():
        if isinstance(call.func, ast.Attribute) and _is_logger(call.func.value):
            level = call.func.attr
            if level in _LEVELS[1:] and call.args and isinstance(call.args[0], ast.Constant):
                message = str(call.args[0].value)
                found[part][message, level] |= {k.arg for k in call.keywords if k.arg} - {"cause"}
    parts = []
    for part, lines in found.items():
        rows = [
            (code(message), level, ", ".join(map(code, sorted(fields))))
            for (message, level), fields in sorted(lines.items())
        ]
        parts.append(f"#### {part}\n\n{table(('Message', 'Level', 'Fields'), rows)}")
    return "\n\n".join(parts)


def metrics() -> str:
    """Every metric: its name, kind, labels and meaning."""
    rows = []
    for _, call in _calls():
        kind = _METRICS.get(_name(call.func), "")
        if kind and len(call.args) >= 2:
            name, about = _words(call.args[0]), _words(call.args[1])
            name += "_total" if kind == "counter" and not name.endswith("_total") else ""
            rows.append((code(name), kind, ", ".join(map(code, _labels(call))), about))
    return table(("Metric", "Kind", "Labels", "Meaning"), sorted(rows))


@cache
def _trees() -> tuple[tuple[str, ast.Module], ...]:
    files = (
        (part, file)
        for part, folder in PARTS.items()
        for file in sorted((ROOT / folder).rglob("*.py"))
    )
    return tuple(
        (part, ast.parse(file.read_text(encoding="utf-8")))
        for part, file in files
        if not file.stem.endswith(("_pb2", "_pb2_grpc"))
    )


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for part, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield part, node


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_logger(node: ast.expr) -> bool:
    return _name(node) in {"_log", "log"}


def _status(node: ast.expr) -> str:
    name = _name(node)
    return name if name in Status.__members__ else ""


def _words(node: ast.expr) -> str:
    """A text as the source has it, with an ellipsis for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_words(v) if isinstance(v, ast.Constant) else _UNKNOWN for v in values)
    return _UNKNOWN


def _labels(call: ast.Call) -> list[str]:
    named = [k.value for k in call.keywords if k.arg in {"labels", "labelnames"}]
    for given in (*call.args[2:3], *named):
        if isinstance(given, ast.List | ast.Tuple):
            return [_words(each) for each in given.elts]
    return []
