"""Backfills and re-runs in any order leave the same state: every row landed once, and what one full run makes of them."""

from __future__ import annotations

import random

import pytest

from motlan import pipeline
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record
from tests.days.state import assert_as_full
from tests.soak.state import state

EARLY, LATE = "2026-08-01T00:00:00.000000Z", "2026-09-01T00:00:00.000000Z"
DATASETS = ("alpha_people", "beta_cards")
PULLS = [
    *((dataset, asked) for dataset in DATASETS for asked in ({}, {"full": True}, {"since": EARLY}, {"since": LATE})),
    ("reconcile", {}),
    ("reconcile", {"full": True}),
]


def do(what: str, asked: dict[str, object]) -> str:
    if what != "reconcile":
        return str(pipeline.sync(what, **asked)["run"])  # type: ignore[arg-type]
    run = str(pipeline.reconcile(incomplete=True, **asked)["run"])  # type: ignore[arg-type]
    pipeline.publish()
    pipeline.project()
    return run


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pulls_and_reconciles_in_any_order_leave_what_one_of_each_leaves(seed: int, country: Country) -> None:
    country.write("alpha_people", [spine_record(row, EARLY if at % 2 else LATE) for at, row in enumerate(SPINE)])
    country.write("beta_cards", [card_record(row, LATE if at % 2 else EARLY) for at, row in enumerate(CARDS)])
    order = random.Random(seed).sample(PULLS, len(PULLS))
    first = next(step for step in order if step[0] != "reconcile")  # before a pull there is nothing to reconcile
    for step in [first, *order, *((dataset, {}) for dataset in DATASETS)]:
        do(*step)
    run = do("reconcile", {})
    found = state()
    assert {name: len(rows) for name, rows in found["landed"].items()} == {
        "alpha_people": len(SPINE),
        "beta_cards": len(CARDS),
    }
    assert len(set(found["golden"])) == len(found["golden"]) > 0
    assert found["seqs"] == list(range(1, len(found["seqs"]) + 1))
    assert not found["left"]
    assert_as_full(run)
