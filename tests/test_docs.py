"""The documentation agrees with the code: links lead somewhere, commands exist, the reference is what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from motlan.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CALLING = [page for page in PAGES if "Made by `.ci/reference.py`" not in page.read_text(encoding="utf-8")]
"""Pages that people write."""
PATH = re.compile(r"`((?:motlan|adapters|mapping|schemas|dags|plugins|simulators|demo|bench|tests|docs)/[\w/.-]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(r"(?:^|[`|(/ ;])motlan((?: [a-z][a-z-]*)+)", re.MULTILINE)


@cache
def reference() -> ModuleType:
    """Load the generator, which lies in a folder that is no package."""
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / ".ci" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(command: Any, path: str = "") -> set[str]:
    """Return the paths of a command and of all below it."""
    below = getattr(command, "commands", {}).items()
    return {path}.union(*(commands(one, f"{path} {name}".strip()) for name, one in below))


def with_arguments(command: Any, path: str = "") -> set[str]:
    """Return the paths of groups whose first word may be the argument of a default command, such as `motlan hold publish`."""
    kinds = [kind for kind in type(command).__mro__ if kind not in TyperGroup.__mro__]
    own = any(name in vars(kind) for kind in kinds for name in ("resolve_command", "parse_args"))
    below = getattr(command, "commands", {}).items()
    found = {path} if own and below else set()
    return found.union(*(with_arguments(one, f"{path} {name}".strip()) for name, one in below))


def options(command: Any, path: str = "") -> dict[str, set[str]]:
    """Return the options of a command and of all below it, by path."""
    own = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]} | {
        "--help"
    }
    found = {path: own}
    if default := getattr(command, "default", None):  # what a group does where none of its commands is named
        own |= options(command.commands[default])[""]
    for name, one in getattr(command, "commands", {}).items():
        found |= options(one, f"{path} {name}".strip())
    return found


def code_of(page: str) -> str:
    """Return what a page shows as code, where commands are written."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^    .*$", page, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is missing"
        assert not anchor or anchor in anchors(target), f"{path}#{anchor} is missing"


@pytest.mark.parametrize("page", CALLING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_the_pages_exists(page: Path) -> None:
    paths = set(PATH.findall(page.read_text(encoding="utf-8"))) - {"mapping/labour.yaml"}  # the agency of an example
    assert not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", CALLING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_pages_exists(page: Path) -> None:
    known = commands(typer.main.get_command(app))
    groups = {path.rpartition(" ")[0] for path in known} - {""} - with_arguments(typer.main.get_command(app))
    for words in COMMAND.findall(code_of(page.read_text(encoding="utf-8"))):
        first, *rest = words.split()
        assert first in known, f"there is no motlan {first}"
        if first in groups and rest:
            assert f"{first} {rest[0]}" in known, f"there is no motlan {first} {rest[0]}"


@pytest.mark.parametrize("page", CALLING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_in_the_pages_exists(page: Path) -> None:
    known = options(typer.main.get_command(app))
    for line in re.findall(r"motlan [a-z][^\n`#|&<>;()]*", code_of(page.read_text(encoding="utf-8"))):
        words = line.split()[1:]
        path = next((path for n in (3, 2, 1) if (path := " ".join(words[:n])) in known), None)
        if path:
            used = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
            assert used <= known[path], f"motlan {path} has no {used - known[path]}"


@pytest.mark.slow
def test_the_reference_is_what_the_code_says() -> None:
    for path, content in reference().pages().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is out of date: run `make docs`"
