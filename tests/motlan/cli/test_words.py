"""What the command line says: of what, before it asks why; in whole sentences."""

import io
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from motlan.cli import output
from motlan.cli.main import app
from motlan.cli.output import WIDTH, Table
from motlan.config import registry
from motlan.errors import AccessError, ConfigurationError, ContractError
from motlan.ingest.refusals import naming_the_credential
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


@pytest.mark.parametrize(
    ("words", "called", "next_"),
    [
        (
            ["sync", "alpha_people"],
            "sync",
            "`motlan runs retry RUN` goes on with it; `motlan sync alpha_people` begins anew.",
        ),
        (["reconcile"], "reconcile", "`motlan reconcile` begins anew."),
        (["publish"], "publish", "`motlan publish`, or `motlan project`, goes on."),
        (["quarantine", "replay"], "replay", "Next: run the same again."),
        (["care"], "care", "Next: run the same again."),
        (["compare", "alpha_people"], "compare", "what was not finished is not kept. Next: run the same again."),
    ],
)
def test_ctrl_c_says_in_one_line_what_stands_and_what_to_do(
    country_files: Country, monkeypatch: pytest.MonkeyPatch, words: list[str], called: str, next_: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("MOTLAN_HOME", str(country_files.home))
    monkeypatch.setattr(f"motlan.pipeline.{called}", stop)
    monkeypatch.setattr("motlan.cli.quarantine.open_workspace", lambda: Workspace)
    for as_json in ([], ["--json"]):
        answer = CliRunner().invoke(app, [*words, *as_json])
        assert answer.exit_code == 130, answer.output
        said = json.loads(answer.stdout)["message"] if as_json else " ".join(answer.output.split())
        assert said.startswith("stopped: ") and said.endswith(next_), said


class Workspace:
    """An installation that has one dataset."""

    class registry:
        datasets = ("alpha_people",)


def test_the_engines_own_word_for_ctrl_c_is_one(country: Country) -> None:
    work = country.open()
    with pytest.raises(KeyboardInterrupt), work.engine("counting") as engine:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        engine.execute("select count(sha256(sha256(a.range::varchar || b.range))) from range(4000) a, range(4000) b")


@pytest.mark.parametrize("credential", ["BETA_CARDS", None])
def test_a_refusal_names_the_variable_that_is_meant(country_files: Country, credential: str | None) -> None:
    country_files.declare("adapters/agencies.yaml", lambda y: y["agencies"]["beta"].update(credential=credential))
    dataset = registry.load(country_files.home).dataset("beta_cards")
    with pytest.raises(AccessError) as told, naming_the_credential(dataset):
        raise AccessError("HTTP status 401", where="cards", next_step="check it.")
    assert ("MOTLAN_CREDENTIAL_BETA_CARDS, the credential for beta" in str(told.value)) == bool(credential)


@pytest.mark.parametrize("end", ["", ".", "?"])
def test_a_sentence_ends_before_what_is_to_be_done_next(end: str) -> None:
    told = str(ConfigurationError(f"it is wrong{end}", where="here", next_step="mend it."))
    assert told == f"here: it is wrong{end or '.'} Next: mend it."
    assert str(ContractError("it broke")) == "it broke. Next: ask the source's owner."


def test_a_table_folds_and_cuts_nothing() -> None:
    long = "0123456789" * 15
    table = Table("id", "dataset", "words")
    table.add_row(long, f"the_{long}", "a sentence of some words, " * 9)
    console = Console(width=WIDTH, file=io.StringIO())
    console.print(table)
    shown = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "…" not in shown
    for file in Path(output.__file__).parent.glob("*.py"):
        assert file.name == "output.py" or "from rich.table" not in file.read_text(encoding="utf-8"), file
