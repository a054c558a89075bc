"""Ids belong to founders, in many more random histories than `make test` has time for: MOTLAN_HISTORIES=20000, MOTLAN_SEED=1."""

import os

import duckdb
import pytest

from tests.motlan.linking.test_person_id_histories import Bus, live

HISTORIES, TOGETHER = int(os.environ.get("MOTLAN_HISTORIES", "0")), 1000


@pytest.mark.parametrize("first", range(0, HISTORIES, TOGETHER))
def test_ids_mean_one_person_in_every_history(first: int) -> None:
    live(Bus(duckdb.connect()), range(first, min(first + TOGETHER, HISTORIES)))
