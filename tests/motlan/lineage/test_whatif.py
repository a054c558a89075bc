"""A changed rule is tried on landed data, and nothing of the trial is left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config.replaced import name_files
from motlan.errors import ConfigurationError, DataError
from motlan.lineage.whatif import try_out
from tests.conftest import Country
from tests.motlan.test_pipeline import rows, sync_both, whole_job

Change = Callable[[Any], None]


def changed(country: Country, name: str, change: Change) -> Path:
    """Write a changed copy of a declared file beside the country."""
    content = yaml.safe_load((country.home / "mapping" / f"{name}.yaml").read_text(encoding="utf-8"))
    change(content)
    target = country.home / "tried" / f"{name}.yaml"
    target.parent.mkdir(exist_ok=True)
    target.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return target


def trial(country: Country, name: str, change: Change) -> dict[str, Any]:
    path, work = changed(country, name, change), country.open()
    mapping = name not in ("authority", "matching", "quality")
    replaced = name_files(work.registry, {} if mapping else {name: path}, [path] if mapping else [])
    return try_out(work, "person", replaced, limit=5, watch=lambda _: None)


def state_of(country: Country) -> tuple[Any, ...]:
    lake = sorted(str(path.relative_to(country.home)) for path in (country.home / "var").rglob("*.parquet"))
    counts = [
        rows(country, f"select count(*) from {table}")
        for table in ("log_entries", "publications", "feed_person", "lake_files", "snapshots", "link_models")
    ]
    return lake, counts


def as_released(country: Country, name: str) -> int:
    """Release the tried file for good; return how many changes the feed got."""
    (country.home / "mapping" / f"{name}.yaml").write_text((country.home / "tried" / f"{name}.yaml").read_text())
    pipeline.reconcile(full=True)
    return int(pipeline.publish()["changes"])


def test_a_trial_that_changes_nothing_finds_nothing_and_leaves_nothing(country: Country) -> None:
    country.after(whole_job)
    before = state_of(country)
    found = trial(country, "authority", lambda _: None)
    assert (found["persons"]["changed"], found["persons"]["all"], found["fields"], found["cleaned"]) == (0, 6, {}, {})
    assert state_of(country) == before
    assert rows(country, "select kind, state from runs order by id desc limit 1") == [("what if", "unchanged")]


def test_a_changed_authority_counts_what_releasing_it_changes(country: Country) -> None:
    country.after(whole_job)
    found = trial(country, "authority", lambda told: told["person"].update(health_card_number={"authority": []}))
    assert found["persons"]["changed"] == found["persons"]["updated"] == 5
    assert found["fields"] == {"health_card_number": 5}
    assert [row["changed"] for row in found["sample"]] == [["health_card_number"]] * 5
    assert as_released(country, "authority") == 5, "the trial came to what the release comes to"


def test_a_changed_mapping_cleans_what_was_landed_again(country: Country) -> None:
    country.after(whole_job)
    before = state_of(country)
    change: Change = lambda told: told["alpha_people"]["fields"].update(full_name="upper(name)")  # noqa: E731
    found = trial(country, "alpha", change)
    assert found["cleaned"] == {"alpha_people": {"rows": 5, "accepted": 5, "was_accepted": 5}}
    assert found["fields"]["full_name"] > 0
    assert state_of(country) == before


def test_a_changed_rule_counts_the_rows_that_it_holds_back(country: Country) -> None:
    country.after(whole_job)

    def hold_back(told: Any) -> None:
        rule = {
            "field": "birth_date",
            "dimension": "completeness",
            "severity": "blocking",
            "expression": "length(birth_date) == 10",
        }
        words = {"vi": "Thiếu ngày", "en": "The day is missing"}
        told["rules"].append({"name": "whole_birth_date", **rule, "message": words})

    found = trial(country, "quality", hold_back)
    assert found["cleaned"]["alpha_people"] == {"rows": 5, "accepted": 4, "was_accepted": 5}


def test_the_command_attaches_digests_and_counts_to_the_log(country: Country) -> None:
    country.after(whole_job)
    path = changed(country, "authority", lambda told: told["person"].update(health_card_number={"authority": []}))
    entries = "select count(*) from log_entries"
    before = rows(country, entries)
    plain = CliRunner().invoke(app, ["whatif", "--authority", str(path)])
    assert plain.exit_code == 0, plain.output
    assert rows(country, entries) == before, "nothing is in the log where it is not asked for"
    attached = CliRunner().invoke(app, ["whatif", "--authority", str(path), "--attach", "--json"])
    told = json.loads(attached.stdout)
    ((kind, body),) = rows(country, f"select kind, body from log_entries where index = {told['entry']}")
    assert (kind, body["changed"], body["persons"]["changed"]) == ("what if", told["changed"], 5)
    assert "sample" not in body


def test_what_cannot_be_tried_is_refused(country: Country) -> None:
    country.after(sync_both)
    with pytest.raises(ConfigurationError, match="nothing is changed"):
        name_files(country.open().registry, {}, [])
    with pytest.raises(ConfigurationError, match="called as the agency's"):
        name_files(country.open().registry, {}, [country.home / "mapping" / "nobody.yaml"])
    with pytest.raises(ConfigurationError, match=r"tried/authority\.yaml"):
        trial(country, "authority", lambda told: told["person"].update(full_name={"authoritee": []}))
    with pytest.raises(DataError, match="no person is published yet"):
        trial(country, "authority", lambda _: None)
