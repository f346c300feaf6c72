"""Whether an object has to be applied: without asking the API server, and so without a write.

An object carries the hash of the manifest that it was last applied from. If that is the present
one, nothing was taken out of the manifest since; if moreover all that the manifest says is so,
nobody else has changed it. What the server adds (defaults, status) is no drift.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from repobridge import crd, quantities

ANNOTATION_APPLIED = f"{crd.GROUP}/applied"
"""The hash of the manifest from which an object was applied."""


def stamped(
    manifest: Mapping[str, Any], *, source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest with a hash in it, as it is to be applied.

    The hash is of the manifest itself, or of its `source`, where it holds what was found too.
    """
    text = json.dumps(source or manifest, sort_keys=True, separators=(",", ":"))
    metadata = manifest["metadata"]
    annotations = {
        **(metadata.get("annotations") or {}),
        ANNOTATION_APPLIED: hashlib.sha256(text.encode()).hexdigest()[:16],
    }
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def has_drifted(present: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a stamped manifest has to be applied."""
    return present is None or not _holds(present, wanted)


def _holds(present: Any, wanted: Any) -> bool:
    """Whether all that is wanted is so; the API leaves empty lists and mappings out."""
    if isinstance(wanted, Mapping):
        if not isinstance(present, Mapping):
            return not wanted and present is None
        return all(_field_holds(present, name, value) for name, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _items_hold(present or (), wanted)
    return bool(present == wanted) or _same_amount(present, wanted)


def _field_holds(present: Mapping[str, Any], name: str, wanted: Any) -> bool:
    if name in {"apiVersion", "kind"} and name not in present:
        return True  # items of a list come without them
    if name == "ownerReferences":
        # Others may own it too: that is not ours to take back.
        found = present.get(name) or ()
        return all(any(_holds(each, owner) for each in found) for owner in wanted)
    return _holds(present.get(name), wanted)


def _items_hold(present: Any, wanted: Sequence[Any]) -> bool:
    if not isinstance(present, Sequence) or len(present) != len(wanted):
        return False
    return all(_holds(*pair) for pair in zip(present, wanted, strict=True))


def _same_amount(present: Any, wanted: Any) -> bool:
    """Whether two quantities are one: the server may write 1024Mi for 1Gi."""
    if not isinstance(present, str) or not isinstance(wanted, str):
        return False
    try:
        return quantities.parse(present) == quantities.parse(wanted)
    except ValueError:
        return False
