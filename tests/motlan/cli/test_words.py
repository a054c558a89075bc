"""What the command line says: of what, before it asks why; in whole sentences."""

import pytest
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.errors import ConfigurationError, ContractError
from tests.conftest import Country

UNKNOWN = [
    ("release", "approve", "nosuch"),
    ("release", "refuse", "nosuch"),
    ("release", "nosuch"),
    ("hold", "nosuch"),
    ("review", "decide", "77", "same"),
    ("review", "withdraw", "77"),
    ("golden", "exclude", "nosuch", "death_date"),
    ("golden", "reinstate", "77"),
    ("quarantine", "fix", "0123456789ab"),
    ("quarantine", "waive", "0123456789ab"),
    ("quarantine", "waive", "--dataset", "nosuch", "--rule", "has_a_name"),
    ("model", "release", "0123456789ab"),
    ("model", "refuse", "0123456789ab"),
    ("watermark", "set", "nosuch", "2026-10-01T00:00:00Z"),
    ("watermark", "reset", "nosuch"),
]


@pytest.mark.quick
def test_what_is_decided_about_is_checked_before_the_reason_is_asked_for(country: Country) -> None:
    for words in UNKNOWN:
        answer = CliRunner().invoke(app, list(words), input="no JSON")
        assert answer.exit_code == 1, words
        assert "standard input is not" not in answer.output, words
        assert " Next: " in answer.output.replace("\n", " "), words


@pytest.mark.parametrize("end", ["", ".", "?"])
def test_a_sentence_ends_before_what_is_to_be_done_next(end: str) -> None:
    told = str(ConfigurationError(f"it is wrong{end}", where="here", next_step="mend it."))
    assert told == f"here: it is wrong{end or '.'} Next: mend it."
    assert str(ContractError("it broke")) == "it broke. Next: ask the source's owner."
