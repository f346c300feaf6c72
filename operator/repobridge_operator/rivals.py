"""Which bridges want which channel, kept as bridges come, change and go."""

from __future__ import annotations

from repobridge import claims
from repobridge.claims import Claim, Tenancy, Verdict
from repobridge_operator.observed import BridgeKey


class Rivals:
    """The claims of all bridges, by channel."""

    def __init__(self, tenancy: Tenancy = ()) -> None:
        self._tenancy = tenancy
        self._claims: dict[BridgeKey, Claim] = {}
        self._wanting: dict[str, set[BridgeKey]] = {}

    def put(self, key: BridgeKey, claim: Claim | None) -> set[BridgeKey]:
        """Takes what a bridge claims now; the other bridges whose verdict may be another by it."""
        before = self._claims.get(key)
        if before == claim:
            return set()
        touched: set[BridgeKey] = set()
        for each in (before, claim):
            if each is not None:
                touched |= self._wanting.get(each.channel_id, set())
        if before is not None:
            del self._claims[key]
            self._leave(key, before.channel_id)
        if claim is not None:
            self._claims[key] = claim
            self._wanting.setdefault(claim.channel_id, set()).add(key)
        return touched - {key}

    def verdict(self, key: BridgeKey) -> Verdict:
        """Whether a bridge has the channel that it wants; one that wants none is accepted."""
        claim = self._claims.get(key)
        if claim is None:
            return claims.ACCEPTED
        rivals = (self._claims[each] for each in self._wanting[claim.channel_id])
        return claims.decide(rivals, tenancy=self._tenancy)[claim.uid]

    def _leave(self, key: BridgeKey, channel_id: str) -> None:
        wanting = self._wanting[channel_id]
        wanting.discard(key)
        if not wanting:
            del self._wanting[channel_id]
