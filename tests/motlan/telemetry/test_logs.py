"""The log as JSON: one object a line with what is worked on, and no text that a library wrote."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from motlan.errors import ConfigurationError, TransientError
from motlan.telemetry import logs, scope


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    root, before = logging.getLogger(), (logging.getLogger().handlers[:], logging.getLogger().level)
    levels = {name: logging.getLogger(name).level for name in logs.OURS}
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("MOTLAN_LOG", "json")
    logs.configure()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[0], before[1]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_names_the_run_and_the_step_that_are_worked_on(written: Any) -> None:
    with scope.at_work(run="20260101T000000", step="land", kind="sync", subject="toy"):
        logging.getLogger("motlan.steps").info("landed %d", 3)
    logging.getLogger("motlan.steps").info("over")
    first, second = written()
    assert {name: first[name] for name in ("run", "step", "kind", "subject", "event", "level")} == {
        "run": "20260101T000000",
        "step": "land",
        "kind": "sync",
        "subject": "toy",
        "event": "landed 3",
        "level": "info",
    }
    assert first["at"].endswith("+00:00")
    assert "run" not in second


def test_the_text_of_another_library_is_left_out(written: Any) -> None:
    logging.getLogger("sqlalchemy.engine").warning("insert of %s", "Nguyễn Văn An")
    (line,) = written()
    assert "Nguyễn" not in json.dumps(line, ensure_ascii=False)
    assert line["logger"] == "sqlalchemy.engine"


def test_an_error_is_told_by_its_class_and_ours_by_its_words(written: Any) -> None:
    for error in (ValueError("Nguyễn Văn An"), TransientError("the line failed", where="toy")):
        try:
            raise error
        except Exception:
            logging.getLogger("motlan.x").exception("a step failed")
    foreign, own = written()
    assert (foreign["error"], "told" in foreign) == ("ValueError", False)
    assert (own["error"], own["told"]) == ("TransientError", "toy: the line failed. Next: try again later.")


def test_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_LOG", "xml")
    with pytest.raises(ConfigurationError, match="MOTLAN_LOG"):
        logs.configure()
