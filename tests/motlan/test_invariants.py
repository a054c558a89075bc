"""What must always hold of a run is checked in every run: where it does not, the error is ours, and nothing is published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from motlan import pipeline
from motlan.errors import ConfigurationError, InternalError
from motlan.merge import merge
from motlan.merge.survivorship import Ways, merge_ways
from motlan.quality import row_rules
from tests.conftest import Country
from tests.motlan.test_pipeline import rows, sync_both


def nothing_is_published(country: Country) -> bool:
    with pytest.raises(ConfigurationError, match="nothing is reconciled"):
        pipeline.publish()
    return rows(country, "select count(*) from publications") == [(0,)]


def test_a_row_lost_between_landing_and_cleaning_stops_the_run(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = row_rules.check_chunk

    def lose_one(*arguments: Any) -> row_rules.Checked:
        checked = check(*arguments)
        return replace(checked, accepted=checked.accepted - 1)

    monkeypatch.setattr(row_rules, "check_chunk", lose_one)
    with pytest.raises(InternalError, match="5 rows landed, 4 accepted and 0 quarantined"):
        pipeline.sync("alpha_people")
    assert rows(country, "select state from runs") == [("failed",)]
    assert nothing_is_published(country)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ("select * from ({0}) union all by name select * from ({0})", "doubled, not one each"),
        ("select * from (select * from ({0}) limit 0)", "golden rows, 0 of them doubled, not one each"),
    ],
)
def test_a_person_with_two_golden_rows_or_none_stops_the_run(
    country: Country, monkeypatch: pytest.MonkeyPatch, plain: str, words: str
) -> None:
    def broken(*arguments: Any, **named: Any) -> Ways:
        ways = merge_ways(*arguments, **named)
        return replace(ways, plain=plain.format(ways.plain))

    country.after(sync_both)
    monkeypatch.setattr(merge, "merge_ways", broken)
    with pytest.raises(InternalError, match=words):
        pipeline.reconcile()
    assert nothing_is_published(country)
