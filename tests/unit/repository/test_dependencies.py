"""Each part imports, also in its functions, only what the extra that installs it brings."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = {
    "repobridge": "core",
    "repobridge_operator": "operator",
    "repobridge_gateway": "gateway",
    "repobridge_runner": "session-runner",
    "repobridge_cli": "cli",
}


def _project() -> dict[str, list[str]]:
    """The distributions that each extra brings; under the empty name, those without one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: [_normal(each) for each in given] for name, given in extras.items()}


def _normal(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def _imported(path: Path) -> Iterator[str]:
    """The modules that a file imports when it runs, wherever in it."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            # What is imported may be a module itself.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def _file(module: str) -> Path | None:
    """The file of a module of ours."""
    folder = FOLDERS.get(module.split(".", maxsplit=1)[0])
    if folder is None:
        return None
    path = ROOT / folder / Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in candidates if each.is_file()), None)


def _third_party(package: str) -> dict[str, str]:
    """What a package of ours imports of others, also through core; with who does."""
    folder = ROOT / FOLDERS[package]
    waiting = sorted((folder / package).rglob("*.py"))
    seen = set(waiting)
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        for module in _imported(path):
            top = module.split(".")[0]
            if top in FOLDERS:
                file = _file(module)
                if file is not None and file not in seen:
                    seen.add(file)
                    waiting.append(file)
            elif top not in sys.stdlib_module_names:
                found[_distribution(module)] = str(path.relative_to(ROOT))
    return found


def _distribution(module: str) -> str:
    if module.startswith("google.protobuf"):
        return "protobuf"  # several distributions share `google`
    owners = _owners().get(module.split(".", maxsplit=1)[0], [module])
    return _normal(owners[0])


@cache
def _owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def _with_what_they_bring(names: Iterable[str]) -> set[str]:
    """Distributions, and those that they need themselves."""
    waiting, found = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needed = requires(name) or ()
        except PackageNotFoundError:
            continue  # for another system
        waiting += [_normal(each) for each in needed if not re.search(r";.*\bextra\b", each)]
    return found


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("repobridge_runner", "runner"),
        ("repobridge_gateway", "gateway"),
        ("repobridge_operator", "operator"),
    ],
)
def test_a_part_imports_what_its_extra_brings(package: str, extra: str) -> None:
    project = _project()
    brought = _with_what_they_bring([*project[""], *project[extra]])
    missing = {name: by for name, by in _third_party(package).items() if name not in brought}
    assert missing == {}
