"""What the tests of the command line share."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan.cli.main import app

WHY = json.dumps({"why": "seen"})
Command = Callable[..., Any]


@pytest.fixture
def command() -> Command:
    """Runs a command for machines; returns what it printed."""

    def run(*words: str, why: str = WHY, code: int = 0) -> Any:
        answer = CliRunner().invoke(app, [*words, "--json"], input=why)
        assert answer.exit_code == code, answer.output
        return json.loads(answer.stdout)

    return run


@pytest.fixture
def printed() -> Callable[..., str]:
    """Runs a command for people; returns what it printed, which fits into 100 columns."""

    def run(*words: str, why: str = WHY, code: int = 0) -> str:
        answer = CliRunner().invoke(app, list(words), input=why)
        assert answer.exit_code == code, answer.output
        assert max(map(len, answer.output.splitlines()), default=0) <= 100, answer.output
        return answer.output

    return run
