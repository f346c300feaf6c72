"""What is wrong with a value, in words for whoever wrote it, from what the validation found."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_BOUNDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "greater_than_equal": ("ge", "must be at least {}"),
        "greater_than": ("gt", "must be more than {}"),
        "less_than_equal": ("le", "must be at most {}"),
        "too_short": ("min_length", "must have an entry"),
        "too_long": ("max_length", "may have {} entries at most"),
        "string_too_long": ("max_length", "may have {} characters at most"),
    }
)
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "is missing",
        "extra_forbidden": "no such field",
        "string_type": "must be a text",
        "string_too_short": "is empty",
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "finite_number": "must be a number",
        "dict_type": "must be a mapping of names to values",
        "model_type": "must be a mapping of names to values",
        "tuple_type": "must be a list",
    }
)


def problem_words(kind: str, context: Mapping[str, object], text: str) -> str:
    """What an error of pydantic's means, by its type and context; `text` where that is all."""
    if kind in {"literal_error", "enum"}:
        return f"must be one of: {str(context.get('expected')).replace(' or ', ', ')}"
    if kind == "greater_than_equal" and context.get("ge") == 0:
        return "must not be negative"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return words.format(_number(context.get(bound)))
    if kind == "value_error":
        return str(context.get("error"))
    return _WORDS.get(kind, text)


def _number(bound: object) -> object:
    return f"{bound:g}" if isinstance(bound, float) else bound
