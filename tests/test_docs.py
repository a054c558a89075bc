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

from motlan.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GENERATED = ROOT / "docs" / "reference"
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


def code_of(page: str) -> str:
    """Return what a page shows as code, where commands are written."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^    .*$", page, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is missing"
        assert not anchor or anchor in anchors(target), f"{path}#{anchor} is missing"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent != GENERATED], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_in_the_pages_exists(page: Path) -> None:
    known = commands(typer.main.get_command(app))
    groups = {path.rpartition(" ")[0] for path in known} - {""}
    for words in COMMAND.findall(code_of(page.read_text(encoding="utf-8"))):
        first, *rest = words.split()
        assert first in known, f"there is no motlan {first}"
        if first in groups and rest:
            assert f"{first} {rest[0]}" in known, f"there is no motlan {first} {rest[0]}"


def test_the_reference_is_what_the_code_says() -> None:
    for path, content in reference().pages().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is out of date: run `make docs`"
