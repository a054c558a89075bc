"""The lineage benchmark: its parts measure a finished installation, and a further part adds its figures."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bench.lineage import measure, proofs
from bench.lineage.parts import PARTS, Measured, Prepared
from motlan.ledger import log, merkle
from motlan.store import Store
from motlan.store.session import sqlalchemy_url
from tests.conftest import Country, Databases
from tests.motlan.test_pipeline import whole_job

FIGURES = {
    "persons",
    "answers",
    "answer_p50_s",
    "answer_cpu_p50_s",
    "answer_p95_s",
    "answer_max_s",
    "replayed",
    "replay_equal_share",
    "replay_s",
}
FIGURES |= {"storage_share", "pointer_bytes", "golden_bytes"}


def test_each_part_adds_its_figures(country: Country) -> None:
    country.after(whole_job)
    prepared = Prepared(country.open(), "person", seed=1, answers=2, replayed=1_000, profiled=1, tell=lambda *_: None)
    more = ("tampers", lambda _: Measured({"tampers_missed": 0}))
    result = measure(prepared, (*PARTS, more))
    figures = result["figures"]
    assert set(figures) == {*FIGURES, "tampers_missed"}
    assert (figures["persons"], figures["answers"], figures["replayed"], figures["replay_equal_share"]) == (6, 2, 30, 1)
    assert 0 < figures["answer_p50_s"] <= figures["answer_p95_s"] <= figures["answer_max_s"]
    assert 0 < figures["pointer_bytes"] < figures["golden_bytes"]
    assert any(name.startswith("golden.person._sources.") for name in result["storage"]["bytes_by_column"])
    assert "trace.trace" in " ".join(result["answers"]["seconds_by_function"])


def test_appending_is_compared_between_a_short_log_and_a_longer_one(
    country: Country, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.make()
    monkeypatch.setattr(proofs, "_empty_log", lambda _: Store(sa.create_engine(sqlalchemy_url(url)), url))
    monkeypatch.setattr(proofs, "APPENDS", 5)
    prepared = Prepared(country.open(), "person", seed=1, answers=1, replayed=1, profiled=0, tell=lambda *_: None)
    figures = proofs.measure_append(prepared, few=10, many=1_000).figures
    assert 0 < figures["append_growth"] < 20
    with Store(sa.create_engine(sqlalchemy_url(url)), url).engine.connect() as connection:
        assert log.size_of(connection) == 1_005
        leaves, root = log.leaves(connection), log.root_of(connection, 1_005)
    assert merkle.tree_head(leaves) == root, "what was filled in is a whole tree"
