from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge import durations
from repobridge_gateway.access import OPEN, Permission, Rule
from repobridge_gateway.authority import Authority, Policy
from repobridge_gateway.config import (
    Bridge,
    Config,
    ConfigError,
    default_path,
    load,
)
from repobridge_gateway.document import read
from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.policy import Asker, takes_for
from repobridge_gateway.policy_settings import BucketSettings, LimitsSettings, RateSettings

EXAMPLE = """\
repos:
  payments:
    provider: discord
    channel_id: "1123581321345589144"
    llm: claude
    working_dir: $WORK/payments
    worktrees:
      - name: hotfix
        path: ${WORK}/hotfix
        channel_id: 1123581321345589145
        branch: hotfix
  notes: {provider: terminal, working_dir: "${WORK}/notes"}
defaults:
  llm: claude
  claude_path: /opt/claude
  output_threshold: 2000
  idle_timeout: 1h30m
  resume_session: false
  rate_limit: {enabled: true, user_rate: 0.2, user_burst: 2, channel_rate: 0}
providers:
  discord:
    bot_token: "${DISCORD_BOT_TOKEN}"
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("payments", "hotfix", "notes"):
        (tmp_path / "work" / name).mkdir(parents=True)
    return tmp_path / "work"


def write(work: Path, text: str) -> Path:
    path = work.parent / "llm-bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(work: Path, text: str, **environment: str) -> list[str]:
    path = write(work, text)
    with pytest.raises(ConfigError) as refused:
        load(path, {"WORK": str(work), **environment})
    return [line.removeprefix(str(path)) for line in str(refused.value).splitlines()]


def takes(config: Config) -> list[tuple[float, int]]:
    """What a message is held to: so many a second, and so many at once."""
    asker = Asker(guild_id="1", bridge="uid", user_id="2")
    found = takes_for(asker, Authority(config.policy).levels("1", bridge=None))
    return [
        (take.limit.per_second, take.limit.burst)
        for take in found
        if isinstance(take.limit, Bucket)
    ]


def test_llm_bridges_own_file_is_taken_as_it_is(work: Path) -> None:
    config = load(write(work, EXAMPLE), {"WORK": str(work), "DISCORD_BOT_TOKEN": "t0ken"})
    assert config.bridges == (
        Bridge(
            name="payments",
            provider="discord",
            channel_id="1123581321345589144",
            llm="claude",
            working_dir=work / "payments",
        ),
        Bridge(
            name="payments/hotfix",
            provider="discord",
            channel_id="1123581321345589145",
            llm="claude",
            working_dir=work / "hotfix",
            branch="hotfix",
        ),
        Bridge(
            name="notes",
            provider="terminal",
            channel_id="",
            llm="claude",
            working_dir=work / "notes",
        ),
    )
    assert config.claude_path == "/opt/claude"
    assert config.output_threshold == 2000
    assert (config.idle_nanoseconds, config.idle_text) == (90 * durations.MINUTE, "1h30m0s")
    assert config.resume_session is False
    assert takes(config) == [(0.2, 2), (2.0, 10)]
    assert config.discord_token.get_secret_value() == "t0ken"


def test_everything_left_out_has_llm_bridges_default(work: Path) -> None:
    config = load(
        write(work, f"repos: {{notes: {{working_dir: '{work}/notes'}}}}\ndefaults:\n"), {}
    )
    assert [bridge.provider for bridge in config.bridges] == ["terminal"]
    assert (config.claude_path, config.output_threshold, config.idle_text) == (
        "claude",
        1500,
        "10m0s",
    )
    assert (config.resume_session, takes(config)) == (True, [(0.5, 3), (2.0, 10)])
    assert (config.environment, config.log_format, config.socket) == ((), "text", "")


def test_our_own_keys_stand_under_serve(work: Path) -> None:
    text = f"""\
repos: {{notes: {{working_dir: {work}/notes}}}}
serve:
  allowed_roots: [{work}]
  environment: [PATH, ANTHROPIC_*]
  log_format: json
  socket: {work}/s
"""
    config = load(write(work, text), {})
    assert (config.environment, config.log_format, config.socket) == (
        ("PATH", "ANTHROPIC_*"),
        "json",
        f"{work}/s",
    )


def test_every_problem_is_told_with_its_line_and_field(work: Path) -> None:
    text = """\
repos:
  payments:
    provider: telegram
    channel_id: "12"
    workng_dir: /tmp
    idle_timeout: 10m
  notes: {working_dir: $WORK/nowhere}
  other: {provider: discord, working_dir: $WORK/notes}
  third: {provider: discord, channel_id: general, working_dir: ~/x}
defaults:
  idle_timeout: 10
  resume_session: perhaps
  output_threshold: -1
  rate_limit: {user_rate: fast, user_burst: 1.5}
  colour: red
providers: [discord]
"""
    assert problems(work, text) == [
        ":2: repos.payments.working_dir: is missing",
        ":3: repos.payments.provider: must be one of: 'discord', 'terminal'",
        ':5: repos.payments.workng_dir: no such key; did you mean "working_dir"?',
        ":6: repos.payments.idle_timeout: no such key here; it belongs under \"defaults\"",
        ':11: defaults.idle_timeout: "10" lacks a unit: write "10s" for seconds',
        ":12: defaults.resume_session: must be true or false",
        ":13: defaults.output_threshold: must not be negative",
        ":14: defaults.rate_limit.user_burst: must be a whole number",
        ":14: defaults.rate_limit.user_rate: must be a number",
        ":15: defaults.colour: no such key; known here: llm, claude_path, output_threshold, "
        "idle_timeout, resume_session, rate_limit, base_dir",
        ":16: providers: must be a mapping of names to values",
    ]  # fmt: skip


def test_directories_and_channels_are_checked_together(work: Path) -> None:
    (work / "file").touch()
    text = """\
repos:
  a: {working_dir: $WORK/nowhere}
  b: {provider: discord, working_dir: $WORK/notes}
  c: {provider: discord, channel_id: general, working_dir: ~/x}
  d: {provider: discord, channel_id: 12, working_dir: $WORK/payments}
  e: {provider: discord, channel_id: 12, working_dir: $WORK/payments/}
  f: {working_dir: $WORK/file, worktrees: [{name: x, path: here}]}
"""
    assert problems(work, text) == [
        f":2: repos.a.working_dir: {work}/nowhere does not exist; create it, or correct the path",
        ":3: repos.b: has provider discord and lacks a channel_id",
        ":4: repos.c.channel_id: must be a Discord id: digits only",
        ':4: repos.c.working_dir: "~/x": a "~" is not expanded; write $HOME',
        ":6: repos.e: works in the directory of repos.d too",
        ":6: repos.e.channel_id: is the channel of repos.d too",
        f":7: repos.f.working_dir: {work}/file is a file; name the directory it is in",
        ':7: repos.f.worktrees[0].path: "here" is not absolute',
    ]


def test_an_unset_variable_is_named_once_with_its_field(work: Path) -> None:
    text = """\
repos:
  notes: {provider: $PROVIDER, working_dir: $WORK/notes}
providers: {discord: {bot_token: "${DISCORD_BOT_TOKEN}"}}
# ${IN_A_COMMENT} means nothing
"""
    assert problems(work, text) == [
        ":2: repos.notes.provider: the environment variable PROVIDER is not set",
        ":3: providers.discord.bot_token: the environment variable DISCORD_BOT_TOKEN is not set",
    ]


def test_a_working_dir_outside_the_allowed_roots_is_refused_also_through_a_link(work: Path) -> None:
    outside = work.parent / "outside"
    outside.mkdir()
    (work / "link").symlink_to(outside)
    text = """\
repos:
  climbs: {working_dir: $WORK/../outside}
  direct: {working_dir: $OUTSIDE}
  linked: {working_dir: $WORK/link}
  inside: {working_dir: $WORK/notes}
serve: {allowed_roots: [$WORK]}
"""
    assert problems(work, text, OUTSIDE=str(outside)) == [
        f":2: repos.climbs.working_dir: {work}/../outside contains '..'; "
        "write the path that it means",
        f":3: repos.direct.working_dir: {outside} is outside the allowed roots "
        f"({work}); move it there, or add its parent to the allowed roots",
        f":4: repos.linked.working_dir: {work}/link is a link to {outside}, which is outside the "
        f"allowed roots ({work}); use a directory inside them, or allow the one it leads to",
    ]


def test_the_link_that_was_checked_is_the_directory_that_is_used(work: Path) -> None:
    (work / "link").symlink_to(work / "notes")
    config = load(write(work, f"repos: {{notes: {{working_dir: {work}/link}}}}"), {})
    assert config.bridges[0].working_dir == work / "notes"


def test_a_key_given_twice_is_refused(work: Path) -> None:
    text = """\
repos:
  notes: {working_dir: $WORK/notes}
  notes: {working_dir: $WORK/payments}
"""
    assert problems(work, text) == [
        ":3: repos.notes: is given twice; the first is on line 2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repos: [", ":1: is not YAML: while parsing a flow node expected the node content"),
        ("repos:\n\tx: 1", ":2: is not YAML: while scanning for the next token found character"),
        ("a: &x [*x]", ":1: a[0]: contains itself through an alias"),
        ("- 1", ":1: must be a mapping of names to values"),
        ("a: 1\n---\nb: 2", ":2: is not YAML: expected a single document"),
        ("a: \x07", ":1: is not YAML: unacceptable character"),
    ],
)
def test_what_is_no_configuration_says_why(work: Path, text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in problems(work, text))


def test_aliases_of_aliases_do_not_exhaust_the_memory(work: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert any("too many aliases" in line for line in problems(work, "\n".join(lines)))


def test_anchors_and_merges_work_as_in_yaml(work: Path) -> None:
    text = """\
repos:
  notes: &shared {provider: terminal, working_dir: $WORK/notes}
  payments:
    <<: *shared
    working_dir: $WORK/payments
"""
    config = load(write(work, text), {"WORK": str(work)})
    assert [(each.provider, each.working_dir.name) for each in config.bridges] == [
        ("terminal", "notes"),
        ("terminal", "payments"),
    ]


def test_a_missing_or_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load(tmp_path / "none.yaml", {})
    assert str(missing.value) == (
        f"{tmp_path}/none.yaml: no such file; name one with --config or LLM_BRIDGE_CONFIG"
    )
    with pytest.raises(ConfigError) as folder:
        load(tmp_path, {})
    assert str(folder.value) == f"{tmp_path}: cannot be read: Is a directory"
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError) as latin:
        load(tmp_path / "latin", {})
    assert str(latin.value) == f"{tmp_path}/latin:2: is not UTF-8"


def test_the_default_file_is_llm_bridges() -> None:
    assert default_path({}) == Path("llm-bridge.yaml")
    assert default_path({"LLM_BRIDGE_CONFIG": "/etc/x.yaml"}) == Path("/etc/x.yaml")


def test_a_secret_never_stands_in_an_error_or_a_repr(work: Path) -> None:
    text = "repos: {}\nproviders: {discord: {bot_token: [$TOKEN]}}"
    assert problems(work, text, TOKEN="s3cret") == [
        ":2: providers.discord.bot_token: must be a text"
    ]
    config = load(write(work, "repos: {}\nproviders: {discord: {bot_token: $T}}"), {"T": "s3cret"})
    assert "s3cret" not in repr(config)


@given(st.text(alphabet="abc:-[]{}&*!|>'\"$~<\n \t?,%@`", max_size=60))
def test_any_text_is_a_document_or_has_problems(text: str) -> None:
    document = read(text, {})
    assert all(problem.line >= 1 and problem.message for problem in document.problems)


POLICY = """\
repos: {notes: {working_dir: $WORK/notes}}
defaults: {rate_limit: {user_rate: 0.2, channel_burst: 5000}}
serve:
  access:
    - {roleId: "1123581321345589144", permissions: [prompt, approve], models: ["*"]}
    - {role: Developers, permissions: [manage], limits: {rate: {enabled: false}}}
  limits:
    rate: {channel: {perSecond: 1, burst: 5}, windows: [{per: 1h, requests: 60}]}
    budgets: [{per: user, usd: 2.5}]
  guilds:
    "2123581321345589144":
      access: [{userId: "3123581321345589144", permissions: [prompt, view_all_usage]}]
"""


def test_who_may_what_and_how_much_stands_under_serve(work: Path) -> None:
    config = load(write(work, POLICY), {"WORK": str(work)})
    rate = {"user": {"per_second": 0.2, "burst": 3}, "channel": {"per_second": 1, "burst": 5}}
    said = config.policy_settings
    assert said.limits.model_dump(mode="json", exclude_unset=True) == {
        "rate": {"enabled": True, **rate, "windows": [{"per": "1h", "requests": 60}]},
        "budgets": [{"per": "user", "usd": 2.5}],
    }
    developers = Rule(
        role_name="Developers",
        permissions=frozenset({Permission.MANAGE}),
        limits=LimitsSettings(rate=RateSettings(enabled=False)),
    )
    assert (config.is_open, config.policy) == (
        False,
        Policy(
            rules=(
                Rule(
                    role_id="1123581321345589144",
                    permissions=frozenset({Permission.PROMPT, Permission.APPROVE}),
                    models=frozenset({"*"}),
                ),
                developers,
            ),
            guilds={
                "2123581321345589144": (
                    Rule(
                        user_id="3123581321345589144",
                        permissions=frozenset({Permission.PROMPT, Permission.VIEW_ALL_USAGE}),
                    ),
                )
            },
            limits=said.limits,
        ),
    )


def test_a_file_that_says_nothing_of_access_is_open_whatever_it_says_of_limits(work: Path) -> None:
    text = "repos: {}\nserve: {limits: {budgets: [{per: guild, tokens: 1000}]}}\n"
    config = load(write(work, text), {})
    limits = config.policy_settings.limits
    assert (config.is_open, config.policy) == (True, Policy(rules=OPEN.rules, limits=limits))
    rate = limits.rate
    assert rate is not None
    assert (rate.user, rate.channel) == (
        BucketSettings(per_second=0.5, burst=3),
        BucketSettings(per_second=2, burst=10),
    )


def test_what_is_wrong_with_access_and_limits_is_told_with_its_line(work: Path) -> None:
    text = """\
serve:
  access:
    - {roleId: "1123581321345589144", permissions: [prompt, fly]}
    - {roleId: "12", permissions: []}
    - {role: Developers, roleId: "1123581321345589144"}
    - {role: Developers, models: [gpt 4]}
    - {rolId: "1123581321345589144"}
  limits:
    rate:
      user: {perSecond: -1, burst: 0}
      windows: [{per: 0s, requests: 3}]
    budgets:
      - {per: team, tokens: 5}
      - {per: user, period: 24h}
      - {per: user, usd: 0}
  guilds:
    acme: {access: [{role: Developers}]}
    "1123581321345589144":
      acess: []
"""
    snowflake = (
        'must be a Discord id in quotes, 15 to 20 digits such as "1123581321345589144": switch on'
        " developer mode in Discord, then right-click and choose Copy ID"
    )
    everything = ", ".join(f"'{each.value}'" for each in Permission)
    assert problems(work, text) == [
        f":3: serve.access[0].permissions[1]: must be one of: {everything}",
        ":4: serve.access[1].permissions: must have an entry",
        f":4: serve.access[1].roleId: {snowflake}",
        ":5: serve.access[2]: must name a role, a roleId or a userId; write one entry for each",
        ":6: serve.access[3].models[0]: must be a model's name, such as opus, or * for all",
        ':7: serve.access[4].rolId: no such key; did you mean "roleId"?',
        ":10: serve.limits.rate.user.burst: must be at least 1",
        ":10: serve.limits.rate.user.perSecond: must not be negative",
        ":11: serve.limits.rate.windows[0].per: must be a duration from 1m to 744h, written like"
        ' "10m" or "1h30m"',
        ":13: serve.limits.budgets[0].per: must be one of: 'user', 'role', 'bridge', 'guild'",
        ":14: serve.limits.budgets[1]: needs tokens, usd, or both",
        ":15: serve.limits.budgets[2].usd: must be more than 0",
        f":17: serve.guilds.acme: {snowflake}",
        ':19: serve.guilds.1123581321345589144.acess: no such key; did you mean "access"?',
    ]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            'access: [{role: A}, {userId: "1123581321345589144"}, {role: A}]',
            "serve.access: entries 0 and 2 are about the same role or person",
        ),
        (
            "limits: {rate: {windows: [{per: 60m, requests: 1}, {per: 1h, requests: 2}]}}",
            "serve.limits.rate.windows: entries 0 and 1 are about the same period",
        ),
        (
            "limits: {budgets: [{per: user, usd: 1}, {per: user, tokens: 1, period: 1440m}]}",
            "serve.limits.budgets: entries 0 and 1 are about the same budget",
        ),
    ],
)
def test_two_entries_about_the_same_are_refused(work: Path, said: str, problem: str) -> None:
    assert problems(work, f"serve:\n  {said}\n") == [f":2: {problem}"]


def test_what_changes_while_it_serves_is_told_from_what_waits(work: Path) -> None:
    def loaded(text: str) -> Config:
        return load(write(work, text), {"WORK": str(work), "DISCORD_BOT_TOKEN": "made-up"})

    started = loaded(EXAMPLE)
    changed = loaded(
        EXAMPLE.replace("1h30m", "1m").replace("2000", "900")
        .replace("user_rate: 0.2", "user_rate: 1")
        .replace("/opt/claude", "/opt/other").replace('"${DISCORD_BOT_TOKEN}"', "other")
        .replace("{provider: terminal", "{provider: terminal, branch: main")
        + f'serve:\n  socket: /tmp/s\n  access: [{{userId: "{"7" * 19}"}}]\n'
        + f'  guilds: {{"{"1" * 19}": {{}}}}\n'
    )  # fmt: skip
    held = changed.over(started)
    assert held.differences(started) == (
        "serve.access",
        "defaults.rate_limit or serve.limits",
        "serve.guilds",
        "defaults.output_threshold",
        "defaults.idle_timeout",
    )
    assert changed.differences(held) == (
        "repos",
        "defaults.claude_path",
        "providers.discord.bot_token",
        "serve.socket",
    )
    assert (held.is_open, held.bridges) == (False, started.bridges)
