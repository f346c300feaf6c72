"""Parts of a spec as the manifest of another kind has them."""

from __future__ import annotations

from typing import Any

from repobridge.crd import Model


def as_plain(part: Model) -> dict[str, Any]:
    """A model as Kubernetes writes it, without the empty lists that mean the same as nothing.

    Empty mappings stay: an empty selector selects everything, and nothing selects nothing.
    """
    plain = _pruned(part.as_object())
    assert isinstance(plain, dict)
    return plain


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _pruned(each)
            for name, each in value.items()
            if each != [] and not (name in _OPTIONAL_MAPPINGS and each == {})
        }
    if isinstance(value, list):
        return [_pruned(each) for each in value]
    return value


_OPTIONAL_MAPPINGS = frozenset({"matchLabels", "volumeAttributes"})
