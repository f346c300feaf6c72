"""The status as it is written, and whether there is anything to write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from repobridge.conditions import ConditionType
from repobridge.crd import (
    Condition,
    ConditionStatus,
    Metadata,
    RepoBridge,
    RepoBridgeSpec,
    RepoBridgeStatus,
)
from repobridge_operator.status import Said, Standing

ACTIVITY_EVERY = timedelta(minutes=5)
"""How seldom the time of the last activity alone is written."""


def make_status(
    before: RepoBridgeStatus, standing: Standing, *, now: datetime
) -> dict[str, Any] | None:
    """The whole status to apply; None when the present one says it all.

    A condition keeps its transition time while its status stays. The time of the last activity
    goes along with other changes, and alone only when it has moved on by five minutes.
    """
    after = _status(before, standing, now)
    if after == before:
        return None
    if after.model_copy(update={"last_activity_time": before.last_activity_time}) == before:
        new, old = after.last_activity_time, before.last_activity_time
        if new is not None and old is not None and new - old < ACTIVITY_EVERY:
            return None
    return after.as_object()


def stand_in(obj: Mapping[str, Any]) -> RepoBridge:
    """A bridge that wants nothing, for an object whose spec can't be read: it has a status too."""
    try:
        status = RepoBridgeStatus.model_validate(obj.get("status") or {})
    except ValidationError:
        status = RepoBridgeStatus()
    metadata = Metadata.model_validate(obj["metadata"])
    return RepoBridge(metadata=metadata, spec=RepoBridgeSpec(), status=status)


def _status(before: RepoBridgeStatus, standing: Standing, now: datetime) -> RepoBridgeStatus:
    said = {
        ConditionType.ACCEPTED: standing.accepted,
        ConditionType.READY: standing.ready,
        ConditionType.UPDATE_PENDING: standing.update_pending,
    }
    return RepoBridgeStatus(
        observed_generation=standing.generation,
        phase=standing.phase,
        replicas=standing.replicas,
        selector=standing.selector,
        channel_id=standing.channel_id,
        endpoint=standing.endpoint,
        sessions=standing.sessions,
        last_activity_time=standing.last_activity,
        conditions=tuple(
            _condition(before, kind, each, generation=standing.generation, now=now)
            for kind, each in said.items()
        ),
    )


def _condition(
    before: RepoBridgeStatus, kind: ConditionType, said: Said, *, generation: int, now: datetime
) -> Condition:
    status = ConditionStatus.TRUE if said.holds else ConditionStatus.FALSE
    present = before.condition(kind)
    since = now.astimezone(UTC).replace(microsecond=0)
    if present is not None and present.status is status and present.last_transition_time:
        since = present.last_transition_time
    return Condition(
        type=kind,
        status=status,
        reason=said.reason,
        message=said.message,
        observed_generation=generation,
        last_transition_time=since,
    )
