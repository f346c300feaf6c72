from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from repobridge import crd
from repobridge.claims import ACCEPTED, Claim, TenancyRule, Verdict, claim_of, decide
from repobridge.conditions import Reason

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
CHANNEL, OTHER_CHANNEL, GUILD = "1123581321345589144", "2233720368547758070", "3141592653589793238"


def claim(uid: str, *, minutes: int = 0, holds: bool = False, **others: str) -> Claim:
    facts = {"namespace": "team", "name": f"bridge-{uid}", "channel_id": CHANNEL} | others
    return Claim(uid=uid, created=EPOCH + timedelta(minutes=minutes), holds=holds, **facts)


CLAIMS = st.lists(
    st.builds(
        claim,
        st.sampled_from("abcdefghij"),
        minutes=st.integers(0, 2),
        holds=st.booleans(),
        namespace=st.sampled_from(["team", "other"]),
        channel_id=st.sampled_from([CHANNEL, OTHER_CHANNEL]),
    ),
    unique_by=lambda each: each.uid,
    max_size=10,
)
TENANCIES = st.lists(
    st.builds(
        TenancyRule,
        namespaces=st.frozensets(st.sampled_from(["team", "other"])),
        guilds=st.frozensets(st.just(GUILD)),
        channels=st.frozensets(st.sampled_from([CHANNEL, OTHER_CHANNEL])),
    ),
    max_size=3,
)


def accepted(verdicts: dict[str, Verdict]) -> list[str]:
    return sorted(uid for uid, verdict in verdicts.items() if verdict.accepted)


def test_the_present_holder_keeps_the_channel() -> None:
    claims = [claim("old"), claim("new", minutes=5, holds=True)]
    assert decide(claims) == {
        "new": ACCEPTED,
        "old": Verdict(
            accepted=False,
            reason=Reason.CHANNEL_TAKEN,
            message=f"Channel {CHANNEL} is served by RepoBridge bridge-new. Name another channel,"
            " or delete that one: then this one takes over by itself.",
        ),
    }


def test_the_older_one_has_a_channel_that_nobody_holds() -> None:
    assert accepted(decide([claim("a", minutes=1), claim("b")])) == ["b"]


def test_of_two_of_one_age_the_lower_uid_has_it() -> None:
    assert accepted(decide([claim("b"), claim("a")])) == ["a"]


def test_of_two_that_both_hold_it_the_older_has_it() -> None:
    claims = [claim("a", minutes=1, holds=True), claim("b", holds=True)]
    assert accepted(decide(claims)) == ["b"]


def test_a_holder_in_another_namespace_is_not_named() -> None:
    verdicts = decide([claim("a"), claim("b", minutes=1, namespace="other")])
    assert "a RepoBridge of another namespace" in verdicts["b"].message
    assert "bridge-a" not in verdicts["b"].message


def test_a_namespace_has_only_what_it_may_have() -> None:
    tenancy = [
        TenancyRule(namespaces=frozenset({"team"}), channels=frozenset({OTHER_CHANNEL})),
        TenancyRule(namespaces=frozenset({"other"}), channels=frozenset({CHANNEL})),
    ]
    verdicts = decide(
        [claim("first", holds=True), claim("second", minutes=9, namespace="other")],
        tenancy=tenancy,
    )
    assert verdicts == {
        "second": ACCEPTED,
        "first": Verdict(
            accepted=False,
            reason=Reason.CHANNEL_NOT_ALLOWED,
            message=f"Namespace team may not have channel {CHANNEL}. Name one that it may have, or"
            " ask who runs RepoBridge to allow it in the tenancy settings.",
        ),
    }


def test_a_guild_gives_its_channels_and_decides_once_it_is_known() -> None:
    tenancy = [TenancyRule(namespaces=frozenset({"team"}), guilds=frozenset({GUILD}))]
    mine, foreign = claim("a"), claim("b", namespace="other", channel_id=OTHER_CHANNEL)
    assert accepted(decide([mine, foreign], tenancy=tenancy)) == ["a"]
    assert accepted(decide([mine, foreign], tenancy=tenancy, guilds={CHANNEL: GUILD})) == ["a"]
    assert accepted(decide([mine, foreign], tenancy=tenancy, guilds={CHANNEL: "4" * 19})) == []


def test_a_bridge_claims_the_channel_of_its_spec() -> None:
    stored = {
        "metadata": {
            "name": "payments",
            "namespace": "team",
            "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"discord": {"channelId": CHANNEL}},
        "status": {"channelId": CHANNEL},
    }
    expected = claim("u", holds=True, name="payments")
    assert claim_of(crd.parse(stored)) == expected
    moved = stored | {"spec": {"discord": {"channelId": OTHER_CHANNEL}}}
    assert claim_of(crd.parse(moved)) == claim("u", name="payments", channel_id=OTHER_CHANNEL)


def test_a_bridge_without_a_channel_or_on_its_way_out_claims_none() -> None:
    metadata = {"name": "payments", "uid": "u"}
    assert claim_of(crd.parse({"metadata": metadata, "spec": {}})) is None
    leaving = metadata | {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"discord": {"channelId": CHANNEL}}
    assert claim_of(crd.parse({"metadata": leaving, "spec": spec})) is None


@given(CLAIMS, TENANCIES, st.booleans())
def test_each_gets_a_verdict_and_each_channel_one_holder_at_most(
    claims: list[Claim], tenancy: list[TenancyRule], knows_guild: bool
) -> None:
    guilds = {CHANNEL: GUILD} if knows_guild else None
    verdicts = decide(claims, tenancy=tenancy, guilds=guilds)
    assert verdicts.keys() == {each.uid for each in claims}
    holders = [each.channel_id for each in claims if verdicts[each.uid].accepted]
    allowed = {
        each.channel_id
        for each in claims
        if verdicts[each.uid].reason is not Reason.CHANNEL_NOT_ALLOWED
    }
    assert sorted(holders) == sorted(allowed)


@given(CLAIMS, st.randoms())
def test_the_order_of_the_claims_changes_nothing(claims: list[Claim], random: Random) -> None:
    shuffled = list(claims)
    random.shuffle(shuffled)
    assert decide(shuffled) == decide(claims)


@given(CLAIMS, TENANCIES)
def test_who_was_accepted_stays_so_when_others_come(
    claims: list[Claim], tenancy: list[TenancyRule]
) -> None:
    settled, late = claims[: len(claims) // 2], claims[len(claims) // 2 :]
    before = decide(settled, tenancy=tenancy)
    held = [
        claim(
            each.uid,
            minutes=2,
            holds=before[each.uid].accepted,
            namespace=each.namespace,
            channel_id=each.channel_id,
        )
        for each in settled
    ]
    fresh = [claim(each.uid, namespace=each.namespace, channel_id=each.channel_id) for each in late]
    after = decide([*held, *fresh], tenancy=tenancy)
    assert [uid for uid in accepted(before) if not after[uid].accepted] == []
