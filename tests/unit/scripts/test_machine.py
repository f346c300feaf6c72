"""How a machine's own way to the registries gets into a build, and nothing else of the machine."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.images.machine import Machine, make_script, read_machine


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "etc").mkdir()
    return tmp_path / "home"


def _read(home: Path, **environment: str) -> Machine:
    bundle = home / "bundle.pem"
    bundle.write_text("CA\n")
    given_bundle = {"SSL_CERT_FILE": str(bundle), **environment}
    return read_machine(given_bundle, home=home, etc=home.parent / "etc")


CERTIFICATES = dict.fromkeys(
    ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    "CA\n",
)


def test_a_machine_without_configuration_gives_its_certificates_alone(home: Path) -> None:
    assert _read(home) == Machine({}, CERTIFICATES)


def test_variables_that_say_where_registries_are_go_along_and_no_others(home: Path) -> None:
    told = {
        "PIP_INDEX_URL": "https://pip.example/simple",
        "UV_DEFAULT_INDEX": "https://uv.example/simple",
        "UV_INDEX_OURS_PASSWORD": "secret",
        "npm_config_registry": "https://npm.example/",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "no_proxy": "localhost",
    }
    others = {
        "PATH": "/usr/bin",
        "PIP_FIND_LINKS": "/opt/wheels",
        "PIP_TARGET": "/somewhere",
        "UV_CACHE_DIR": "/somewhere",
        "NPM_CONFIG_PREFIX": "/somewhere",
        "UV_INDEX": "/a/folder/of/wheels",
        "ANTHROPIC_API_KEY": "secret",
    }
    assert _read(home, **told, **others) == Machine(told, CERTIFICATES)


def test_pip_files_become_variables_which_variables_overrule(home: Path) -> None:
    (home.parent / "etc" / "pip.conf").write_text(
        "[global]\nindex-url = https://one.example/\ncert = /etc/ca.pem\ntimeout = 9\n"
        "[list]\nformat = columns\n"
    )
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text(
        "[global]\nindex-url = https://two.example/\nextra-index-url =\n  https://a.example/\n"
        "  https://b.example/\n"
    )
    assert _read(home, PIP_TIMEOUT="5").variables == {
        "PIP_INDEX_URL": "https://two.example/",
        "PIP_EXTRA_INDEX_URL": "https://a.example/ https://b.example/",
        "PIP_TIMEOUT": "5",
    }


def test_of_npmrc_go_along_the_lines_that_reach_a_registry(home: Path) -> None:
    (home / ".npmrc").write_text(
        "; ours\nregistry=https://npm.example/\nprefix=/somewhere\nyes=false\n"
        "//npm.example/:_authToken=${NPM_TOKEN}\n@acme:registry=https://acme.example/\n"
    )
    files = _read(home, NPM_TOKEN="t0ken").files
    assert files["NPM_CONFIG_USERCONFIG"] == (
        "registry=https://npm.example/\n//npm.example/:_authToken=t0ken\n"
        "@acme:registry=https://acme.example/\n"
    )


def test_passwords_by_host_go_along(home: Path) -> None:
    (home / ".netrc").write_text("machine npm.example login a password b\n")
    assert _read(home).files["NETRC"] == "machine npm.example login a password b\n"


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=80)


@given(st.dictionaries(st.sampled_from(["A", "B_C"]), _TEXTS), _TEXTS)
def test_the_shell_reads_back_whatever_was_written(variables: dict[str, str], text: str) -> None:
    names = [*variables, "FILE"]
    script = make_script(Machine(variables, {"FILE": text, "SAME": text}))
    prints = "".join(f'printf "%s\\0" "${name}"; ' for name in names)
    program = f'set -eu\n{script}\n{prints}cat "$FILE"; printf \'\\0\'; printf %s "$SAME"'
    done = subprocess.run(["sh", "-c", program], capture_output=True, check=True)
    *values, path, content, same = done.stdout.decode().split("\0")
    assert values == list(variables.values())
    assert (content, same) == (text, path)
    assert not Path(path).exists(), shlex.quote(path)
