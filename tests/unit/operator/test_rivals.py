"""Who wants which channel, as bridges come and go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from repobridge import claims
from repobridge.claims import Claim, TenancyRule
from repobridge.conditions import Reason
from repobridge_operator.observed import BridgeKey
from repobridge_operator.rivals import Rivals

ONE, TWO, THREE = (BridgeKey("team", name) for name in ("one", "two", "three"))
START = datetime(2026, 11, 21, tzinfo=UTC)


def claim(key: BridgeKey, channel: str, *, age: int = 0, holds: bool = False) -> Claim:
    return Claim(
        uid=key.name,
        namespace=key.namespace,
        name=key.name,
        channel_id=channel,
        created=START + timedelta(seconds=age),
        holds=holds,
    )


def test_a_rival_is_told_when_the_holder_comes_goes_or_turns_to_another_channel() -> None:
    rivals = Rivals()
    assert rivals.put(ONE, claim(ONE, "1")) == set()
    assert rivals.put(TWO, claim(TWO, "1", age=1)) == {ONE}
    assert (rivals.verdict(ONE).accepted, rivals.verdict(TWO).reason) == (
        True,
        Reason.CHANNEL_TAKEN,
    )
    assert rivals.put(ONE, claim(ONE, "1")) == set()
    assert rivals.put(THREE, claim(THREE, "2")) == set()
    assert rivals.put(ONE, claim(ONE, "2", age=9)) == {TWO, THREE}
    assert [rivals.verdict(each).accepted for each in (ONE, TWO, THREE)] == [False, True, True]
    assert rivals.put(THREE, None) == {ONE}
    assert rivals.verdict(ONE) == claims.ACCEPTED


def test_a_bridge_without_a_channel_is_accepted_and_has_no_rivals() -> None:
    rivals = Rivals()
    assert rivals.put(ONE, None) == set()
    assert rivals.verdict(ONE) == claims.ACCEPTED


def test_a_namespace_has_only_what_the_rules_give_it() -> None:
    rule = TenancyRule(namespaces=frozenset({"team"}), channels=frozenset({"1"}))
    rivals = Rivals([rule])
    rivals.put(ONE, claim(ONE, "2"))
    assert rivals.verdict(ONE).reason is Reason.CHANNEL_NOT_ALLOWED
