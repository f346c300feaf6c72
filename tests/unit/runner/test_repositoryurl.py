"""A repository's URL can neither run a program nor carry a key."""

from __future__ import annotations

import pytest

from repobridge_runner.repositoryurl import RepositoryAddress, parse
from repobridge_runner.workspaceerror import WorkspaceError


@pytest.mark.parametrize(
    ("url", "protocol", "host"),
    [
        ("https://github.com/acme/x.git", "https", "github.com"),
        ("https://git.example.org:8443/x", "https", "git.example.org:8443"),
        ("https://[::1]:8443/x", "https", "[::1]:8443"),
        ("ssh://git@github.com/acme/x.git", "ssh", "github.com"),
        ("ssh://git@git.example.org:2222/x", "ssh", "git.example.org:2222"),
        ("git@github.com:acme/x.git", "ssh", "github.com"),
    ],
)
def test_a_plain_url_is_taken(url: str, protocol: str, host: str) -> None:
    assert parse(url) == RepositoryAddress(url, protocol, host)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://github.com/x", "uses http; allowed are https and ssh"),
        ("file:///srv/x", "uses file"),
        ("git://github.com/x", "uses git"),
        ("/srv/x", "has no protocol"),
        ("../x", "has no protocol"),
        ("", "has no protocol"),
        ("ext::sh -c id", "contains blanks"),
        ("ext::sh", "names a remote helper"),
        ("fd::17", "names a remote helper"),
        ("https::https://x/y", "names a remote helper"),
        ("--upload-pack=id", "begins with '-'"),
        ("-oProxyCommand=id@x:y", "begins with '-'"),
        ("ssh://-oProxyCommand=id/x", "names no host"),
        ("ssh://-oProxyCommand=id@host/x", "begins with '-'"),
        ("https://user:pass@github.com/x", "contains a user or a password"),
        ("https://ghp_token@github.com/x", "contains a user or a password"),
        ("ssh://git:pass@github.com/x", "contains a user or a password"),
        ("https://github.com/x\n", "contains blanks"),
        ("https://github.com/a b", "contains blanks"),
        ("https:///x", "names no host"),
        ("https://h:port/x", "is no URL"),
        ("https://h/x?y", "contains '?' or '#'"),
    ],
)
def test_any_other_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        parse(url)
    assert caught.value.reason == "RepositoryRefused"
    assert why in caught.value.sentence
    assert "pass@" not in caught.value.sentence
    assert "ghp_" not in caught.value.sentence
