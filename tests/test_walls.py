"""The walls of docs/architecture.md, as far as they can be seen from the files."""

import re
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.config import registry
from tests.conftest import ROOT

AGENCIES = ("population", "insurance", "tax", "education", "bhxh", "bhyt", "mst")


def test_the_bus_names_no_agency() -> None:
    names = re.compile(rf"\b({'|'.join(AGENCIES)})\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "motlan").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if names.search(line)
    ]
    assert not found


def test_no_lock_file_holds_an_address() -> None:
    for path in ROOT.glob("requirements*.lock"):
        assert not re.search(
            r"https?://|file://|--(extra-)?index-url|--find-links", path.read_text(encoding="utf-8")
        ), path


def commands() -> list[list[str]]:
    found = [[]]
    for name, command in get_command(app).commands.items():
        found.append([name])
        found += [[name, inner] for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself_with_examples(command: list[str]) -> None:
    answer = CliRunner().invoke(app, [*command, "--help"])
    assert answer.exit_code == 0
    assert "Examples:" in answer.output
    assert "motlan " in answer.output.split("Examples:")[1]


def test_examples_come_from_the_registry() -> None:
    first = next(iter(registry.load(ROOT).datasets))
    assert f"motlan sync {first}" in CliRunner().invoke(app, ["sync", "--help"]).output


def test_a_wrong_setting_is_a_clear_error_and_no_traceback() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "motlan", "status"],
        env={"MOTLAN_HOME": "/nowhere", "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "ConfigurationError" in answer.stderr
    assert "set MOTLAN_HOME" in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
