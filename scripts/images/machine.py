"""How this machine reaches package registries, as the script that the Dockerfile's steps source.

It is a build secret: a step sees it while it runs, and no layer keeps it. What it exports is taken
from the clients' own configuration: variables, pip.conf, npmrc, netrc, uv.toml, certificates.
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLES = re.compile(
    r"PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|PROXY|TIMEOUT|DEFAULT_TIMEOUT|RETRIES)"
    r"|UV_(DEFAULT_INDEX|INDEX(_.+)?|EXTRA_INDEX_URL|INSECURE_HOST|HTTP_TIMEOUT|NATIVE_TLS)"
    r"|(?i:npm_config_.*(registry|auth|token|proxy|strict_ssl).*)"
    r"|(?i:(https?|all|no)_proxy)"
)
_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_NPM_LINE = re.compile(r"[^;#=]*(registry|auth|token|proxy|strict-ssl)[^=]*=", re.IGNORECASE)
_CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_HEAD = """\
machine=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$machine"' EXIT
"""


@dataclass(frozen=True)
class Machine:
    """What the clients are configured with."""

    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """The text of a file by the variable that names its path; several may share one text."""


def read_machine(environment: Mapping[str, str], *, home: Path, etc: Path) -> Machine:
    """Reads the configuration of the registries' clients."""
    configured = {
        name: value
        for name, value in environment.items()
        if _VARIABLES.fullmatch(name) and not _is_local(value)
    }
    pip_files = [etc / "pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if named := environment.get("PIP_CONFIG_FILE"):
        pip_files.append(Path(named))
    variables = {**_pip_variables(pip_files), **configured}
    files: dict[str, str] = {}
    npm = [etc / "npmrc", Path(environment.get("NPM_CONFIG_USERCONFIG") or home / ".npmrc")]
    if lines := [line for path in npm for line in _npm_lines(path, environment)]:
        files["NPM_CONFIG_USERCONFIG"] = "".join(f"{line}\n" for line in lines)
    for name, path in {
        "NETRC": Path(environment.get("NETRC") or home / ".netrc"),
        "UV_CONFIG_FILE": Path(environment.get("UV_CONFIG_FILE") or home / ".config/uv/uv.toml"),
    }.items():
        if path.is_file():
            files[name] = path.read_text()
    named_bundles = [Path(environment[n]) for n in _CERTIFICATE_VARIABLES if environment.get(n)]
    for path in [*named_bundles, _SYSTEM_CERTIFICATES]:
        if path.is_file():
            files |= dict.fromkeys(_CERTIFICATE_VARIABLES, path.read_text())
            break
    return Machine(variables, files)


def make_script(machine: Machine) -> str:
    """The script: it exports the variables, and puts the files where no layer keeps them."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in machine.variables.items()]
    places: dict[str, str] = {}
    for name, text in machine.files.items():
        if text not in places:
            places[text] = f'"$machine"/{len(places)}'
            lines.append(f"printf %s {shlex.quote(text)} > {places[text]}")
        lines.append(f"export {name}={places[text]}")
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _is_local(value: str) -> bool:
    return value.startswith(("/", "~", ".", "file:"))


def _pip_variables(paths: Sequence[Path]) -> dict[str, str]:
    """What pip would take from its files, as its variables: uv and a build step read no file."""
    parser = configparser.RawConfigParser()
    parser.read(paths, encoding="utf-8")
    return {
        f"PIP_{option.upper().replace('-', '_')}": " ".join(value.split())
        for section in ("global", "install")
        if parser.has_section(section)
        for option, value in parser.items(section)
        if option in _PIP_OPTIONS and not _is_local(value)
    }


def _npm_lines(path: Path, environment: Mapping[str, str]) -> Iterator[str]:
    if not path.is_file():
        return
    for line in path.read_text().splitlines():
        if _NPM_LINE.match(line):
            yield re.sub(r"\$\{(\w+)\}", lambda name: environment.get(name[1], name[0]), line)
