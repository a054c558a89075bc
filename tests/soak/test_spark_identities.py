"""Which id each person has is the same on Spark: a few histories by both engines, run by run."""

import os
import random
from pathlib import Path

import duckdb
import pytest

from motlan.expressions.duckdb.named import named_calls
from motlan.expressions.spark.session import SparkEngine
from tests.conftest import ROOT
from tests.motlan.linking.test_person_id_histories import Bus, History

HISTORIES, RUNS = 8, 2
pytestmark = [
    pytest.mark.skipif("MOTLAN_HISTORIES" not in os.environ, reason="takes minutes: make soak"),
]


def test_both_engines_give_the_same_ids(spark: object, tmp_path: Path) -> None:
    codes = ROOT / "mapping" / "codes"
    with SparkEngine("local[2]", tmp_path, codes, "ids", debug=True) as engine:
        mine, theirs = Bus(duckdb.connect()), Bus(engine)  # type: ignore[arg-type]
        histories = [History(random.Random(f"spark {number}"), f"h{number}") for number in range(HISTORIES)]
        for _ in range(RUNS):
            founders, turned = {}, set()
            for history in histories:
                history.change()
                founders |= history.groups()
                turned |= history.turned & history.rows.keys()
            expected = mine.run(founders, turned)
            with named_calls():
                assert theirs.run(founders, turned) == expected
                assert theirs.moved() == mine.moved()
                assert theirs.retired() == mine.retired()
