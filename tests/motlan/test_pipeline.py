"""The main job on a small country: what a record meets between its register and the feed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from motlan import pipeline
from motlan.adapter import Page, SourceCount, Watermark
from motlan.errors import ConfigurationError, ContractError, InternalError, TransientError
from motlan.ledger import log, runs
from motlan.linking.link_rows import Linking
from motlan.status import status
from tests.conftest import CARDS, SPINE, Country, behind_the_bus, card_record, spine_record
from tests.country.adapter import FileAdapter

LATER = "2026-10-02T00:00:00.000000Z"
BOTH = ("alpha_people", "beta_cards")


def whole_job() -> dict[str, dict]:
    done = {dataset: pipeline.sync(dataset) for dataset in BOTH}
    done["reconcile"] = pipeline.reconcile()
    done["publish"] = pipeline.publish()
    pipeline.project(done["publish"]["run"])
    return done


def sync_both() -> None:
    for dataset in BOTH:
        pipeline.sync(dataset)


def rows(country: Country, query: str) -> list[tuple]:
    with country.open().store.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_every_landed_row_is_accepted_or_quarantined(country: Country) -> None:
    done = country.after(whole_job)
    for dataset, expected in zip(BOTH, (SPINE, CARDS), strict=True):
        counts = done[dataset]
        assert counts["land"]["pulled"] == counts["land"]["source_rows"] == len(expected)
        assert counts["clean"]["accepted"] + counts["clean"]["quarantined"] == counts["land"]["landed"] == len(expected)
    assert done["beta_cards"]["clean"]["quarantined"] == 1, "the card without a name"


def test_a_pull_of_many_chunks_loses_nothing(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_LANDED_CHUNK_ROWS", "4")
    done = whole_job()
    assert done["alpha_people"]["clean"]["accepted"] == len(SPINE)
    assert len(done["alpha_people"]["land"]["chunks"]) == 2
    assert rows(country, "select count(*) from golden_person") == [(6,)]


@pytest.mark.quick
def test_golden_records_take_each_field_from_whom_is_believed(country: Country) -> None:
    country.after(whole_job)
    golden = rows(
        country,
        "select personal_id, full_name, birth_date, health_card_number from golden_person order by personal_id, full_name",
    )
    assert golden == [
        ("001070000004", "Phạm Văn Dũng", "1970-02-01", "GD4010000000004"),  # the year, refined by the card's full date
        ("001080000003", "Lê Văn Cường", "1980-07-08", "GD4010000000003"),
        ("001090000001", "Nguyễn Văn An", "1990-02-03", "GD4010000000001"),
        ("001090000001", "Võ Thị Mai", "2001-01-01", "GD4010000000005"),  # somebody else's number: a person of her own
        ("001190000002", "Trần Thị Bình", "1990-05-06", "GD4010000000002"),  # linked without a number
        ("001190000005", "Hoàng Thị Hòa", "1990-11-12", None),
    ]


def test_the_same_job_again_changes_nothing(country: Country) -> None:
    first = country.after(whole_job)
    again = whole_job()
    assert first["publish"]["changes"] == 6
    assert (again["publish"]["number"], again["publish"]["changes"], again["publish"]["last_seq"]) == (None, 0, 6)
    assert [again[dataset]["land"]["landed"] for dataset in BOTH] == [0, 0], "what comes twice is landed once"


def test_a_change_at_the_source_becomes_one_event(country: Country) -> None:
    country.after(whole_job)
    renamed = spine_record(("a3", "001080000003", "Lê Văn Hùng", "1980-07-08", "male", "2026-09-01"), LATER)
    country.write("alpha_people", [*(spine_record(row) for row in SPINE if row[0] != "a3"), renamed])
    done = whole_job()
    assert done["alpha_people"]["land"]["landed"] == 1
    assert rows(country, "select seq, event, changed, full_name from feed_person where seq > 6") == [
        (7, "updated", ["full_name"], "Lê Văn Hùng")
    ]
    corrections = rows(country, "select dataset, key, field, golden_value from corrections_person order by key")
    assert corrections == [("beta_cards", "b3", "full_name", "Lê Văn Hùng")]


def test_a_provisional_person_keeps_its_id_when_it_appears_on_the_spine(country: Country) -> None:
    country.after(whole_job)
    before = rows(country, "select person_id from golden_person where full_name = 'Võ Thị Mai'")
    appeared = spine_record(("a6", "001301000006", "Võ Thị Mai", "2001-01-01", "female", None), LATER)
    country.write("alpha_people", [*(spine_record(row) for row in SPINE), appeared])
    fixed = [row for row in CARDS if row[0] != "b5"]
    country.write(
        "beta_cards",
        [
            *(card_record(row) for row in fixed),
            card_record(("b5", "001301000006", "Võ Thị Mai", "01/01/2001", "female", "GD4010000000005"), LATER),
        ],
    )
    whole_job()
    after = rows(country, "select person_id, personal_id from golden_person where full_name = 'Võ Thị Mai'")
    assert after == [(before[0][0], "001301000006")]


def test_a_broken_source_stops_its_own_run_and_nothing_of_it_is_seen(country: Country) -> None:
    country.after(whole_job)
    country.write("beta_cards", "broken")
    with pytest.raises(ContractError, match="ask its owner"):
        pipeline.sync("beta_cards")
    found = status(country.open())
    assert found["datasets"]["beta_cards"]["state"] == "failed"
    assert "ContractError" in found["datasets"]["beta_cards"]["error"]
    assert pipeline.sync("alpha_people")["commit"]["state"] == "unchanged"


def test_a_source_that_is_down_can_be_retried_in_the_same_run(country: Country) -> None:
    run = pipeline.begin_sync("alpha_people")["run"]
    country.write("alpha_people", "down")
    with pytest.raises(TransientError):
        pipeline.land(run)
    country.write("alpha_people", [spine_record(row) for row in SPINE])
    assert pipeline.land(run)["landed"] == len(SPINE)
    assert pipeline.land(run) == pipeline.land(run), "a finished step gives its counts back"
    pipeline.clean(run)
    assert pipeline.commit_sync(run)["state"] == "visible"


@pytest.mark.parametrize("killed_before", ["commit of the files", "note in the ledger"])
def test_a_run_killed_anywhere_ends_in_the_same_state(
    country: Country, killed_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise KilledError

    run = pipeline.begin_sync("alpha_people")["run"]
    with monkeypatch.context() as patch:
        if killed_before == "commit of the files":
            patch.setattr("motlan.lake.iceberg.Lake.commit", die)
        else:
            patch.setattr("motlan.ledger.runs._with", die)
        with pytest.raises(KilledError):
            pipeline.land(run)
    pipeline.land(run)
    pipeline.clean(run)
    pipeline.commit_sync(run)
    work = country.open()
    with work.engine("counting") as engine:
        files = work.lake.files("raw.alpha_people", {run})
        assert engine.execute(f"select count(*) from read_parquet({files})").fetchone() == (len(SPINE),)


def test_a_run_that_is_not_committed_is_not_seen(country: Country) -> None:
    run = pipeline.begin_sync("alpha_people")["run"]
    pipeline.land(run)
    pipeline.clean(run)
    with country.open().store.engine.connect() as connection:
        assert runs.visible(connection, "sync", "alpha_people") == []
    with pytest.raises(ContractError, match="motlan sync"):
        pipeline.reconcile()


def test_a_stale_comparison_is_not_published(country: Country) -> None:
    country.after(sync_both)
    stale, fresh = pipeline.reconcile()["run"], pipeline.reconcile()["run"]
    assert pipeline.publish(fresh)["number"] == 1
    with pytest.raises(ContractError, match="motlan reconcile"):
        pipeline.publish(stale)


def test_links_that_are_not_one_a_row_stop_the_run(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Linking.run

    def run_twice(linking: Linking, **given: Any) -> Any:
        model = run(linking, **given)
        linking.relations.engine.execute(
            """create temp table row_links_once as from row_links;
               create or replace temp view row_links as from row_links_once union all from row_links_once"""
        )
        return model

    country.after(sync_both)
    monkeypatch.setattr(Linking, "run", run_twice)
    with pytest.raises(InternalError, match="not one each"):
        pipeline.reconcile()
    with pytest.raises(ConfigurationError, match="nothing is reconciled"):
        pipeline.publish()


def test_the_log_notices_an_altered_entry(country: Country) -> None:
    country.after(whole_job)
    with country.open().store.engine.begin() as connection:
        assert log.first_broken(connection) is None
        behind_the_bus(connection, "update log_entries set body = jsonb_set(body, '{rows}', '7') where index = 1")
        assert log.first_broken(connection) == 1


def test_the_dead_who_still_have_a_card_are_found(country: Country) -> None:
    done = country.after(whole_job)
    assert done["reconcile"]["cross_check"]["rules"]["beta_cards"]["not_after_death"] == [5, 4]
    assert done["reconcile"]["cross_check"]["findings"] == 1


def test_the_whole_job_reads_no_more_than_it_must(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    country.after(whole_job)
    calls: list[str] = []
    original: Callable = type(country.open().registry.dataset("alpha_people").open()).pull
    monkeypatch.setattr(
        "tests.country.adapter.FileAdapter.pull",
        lambda self, since: calls.append(since.cursor) or original(self, since),
    )
    pipeline.sync("alpha_people")
    assert calls == ["2026-08-31T23:50:00.000000Z"], "the watermark, less the lag window"


@pytest.mark.parametrize(("counted", "side"), [(1, "4 more"), (7, "2 fewer")])
def test_a_register_that_counts_otherwise_than_it_sends_stops_the_run_before_anything_is_visible(
    country: Country, monkeypatch: pytest.MonkeyPatch, counted: int, side: str
) -> None:
    monkeypatch.setattr(
        "tests.country.adapter.FileAdapter.count", lambda *_: SourceCount(counted, counted, "2026-10-01T00:00:00Z")
    )
    with pytest.raises(ContractError, match=f"alpha_people: the source counts {counted} records, and 5 came: {side}"):
        pipeline.sync("alpha_people")
    assert country.open().lake.files("raw.alpha_people", {"*"}) == []
    assert rows(country, "select count(*) from watermarks") == [(0,)]
    monkeypatch.undo()


def test_records_that_are_written_while_a_register_is_pulled_land_once_each(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_LANDED_CHUNK_ROWS", "4")
    later = [spine_record((f"a{n}", None, "Lê Văn Tám", "1990-02-03", "male", None), LATER) for n in range(6, 9)]
    original: Callable = FileAdapter.pull

    def pull(self: FileAdapter, since: Watermark | None) -> Iterator[Page]:
        pages = list(original(self, since))
        country.write("alpha_people", [*map(spine_record, SPINE), *later])
        if since is None:  # the first page came, and the second had moved on
            pages.pop()
        yield from pages

    monkeypatch.setattr(FileAdapter, "pull", pull)
    landed = pipeline.sync("alpha_people")["land"]
    assert (landed["pulled"], landed["source_rows"], landed["landed"]) == (8, 8, 8)
    assert len(landed["chunks"]) == 2
    assert pipeline.sync("alpha_people")["land"]["landed"] == 0
