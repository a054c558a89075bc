"""Payloads are read again by their adapters: that their bytes are whole does not tell that the landed row stands in them."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from motlan.lineage import read_again
from motlan.lineage.evidence import Evidence, gather
from motlan.lineage.replay import Verdict, replay
from motlan.lineage.trace import find_person
from motlan.workspace import Workspace
from tests.conftest import Country
from tests.country.adapter import FileAdapter
from tests.motlan.test_pipeline import whole_job


@pytest.fixture
def work(country: Country) -> Workspace:
    country.after(whole_job)
    return country.open()


def judged(work: Workspace, evidence: Evidence) -> Verdict:
    person = evidence.golden["entity_id"][0].as_py()
    return replay(work, evidence, [(person, "full_name")])


def evidence_of(work: Workspace, number: str) -> Evidence:
    return gather(work, "person", [find_person(work, "person", number)])


def with_column(evidence: Evidence, dataset: str, column: str, value: str) -> Evidence:
    rows = evidence.raw[dataset]
    values = pa.array([value] * rows.num_rows, pa.string())
    changed = rows.set_column(rows.column_names.index(column), column, values)
    return replace(evidence, raw={**evidence.raw, dataset: changed})


def test_a_row_beside_another_payload_that_is_whole_is_noticed(work: Workspace) -> None:
    evidence, other = evidence_of(work, "001080000003"), evidence_of(work, "001190000005")
    payloads = [one.raw["alpha_people"]["_payload"][0].as_py() for one in (evidence, other)]
    assert payloads[0] != payloads[1], "a page has four rows"
    verdict = judged(work, with_column(evidence, "alpha_people", "_payload", payloads[1]))
    assert verdict.reasons == {read_again.NOT_THERE: 1}


def test_a_row_at_the_place_of_another_one_is_noticed(work: Workspace) -> None:
    evidence = evidence_of(work, "001080000003")
    verdict = judged(work, with_column(evidence, "alpha_people", "_locator", "/0"))
    assert verdict.reasons == {read_again.ANOTHER: 1}


def test_nothing_is_claimed_of_payloads_that_an_adapter_cannot_read_alone(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileAdapter, "read_again", classmethod(lambda *_: None))
    evidence = evidence_of(work, "001080000003")
    verdict = judged(work, evidence)
    refs = [ref for rows in evidence.raw.values() for ref in rows["_ref"].to_pylist()]
    assert (verdict.equal, verdict.unread) == (1, sorted(refs))


def test_a_payload_that_cannot_be_read_any_more_is_noticed(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Iterator[pa.RecordBatch]:
        raise ValueError

    monkeypatch.setattr(FileAdapter, "read_again", classmethod(refuse))
    assert judged(work, evidence_of(work, "001080000003")).reasons == {read_again.UNREADABLE: 1}


def test_columns_that_were_declared_since_are_no_difference(country: Country) -> None:
    country.after(whole_job)
    country.declare(
        "adapters/agencies.yaml",
        lambda declared: declared["agencies"]["alpha"]["datasets"]["alpha_people"]["columns"].pop("died"),
    )
    country.declare("mapping/alpha.yaml", lambda mapping: mapping["alpha_people"]["fields"].pop("death_date"))
    work = country.open()
    assert judged(work, evidence_of(work, "001080000003")).reasons == {}
