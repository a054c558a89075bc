"""The lineage benchmark: its parts measure a finished installation, and a further part adds its figures."""

from __future__ import annotations

from bench.lineage import measure
from bench.lineage.parts import PARTS, Measured, Prepared
from tests.conftest import Country
from tests.motlan.test_pipeline import whole_job

FIGURES = {
    "persons",
    "answers",
    "answer_p50_s",
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
