"""The access ledger: each look is bound by the log, and what is done to it behind the bus's back is found."""

import json

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from motlan.cli.main import app
from motlan.errors import ConfigurationError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from motlan.ledger import accesses, log
from motlan.ledger.accesses import Basis, Seen
from motlan.proof.access_list import Wanted, list_accesses
from motlan.store import tables
from motlan.workspace import Workspace
from tests.conftest import Country, behind_the_bus
from tests.motlan.test_pipeline import rows, whole_job

ONE = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"


def entries(connection: sa.Connection) -> dict[int, tuple[str, str]]:
    table = tables.log_entries.c
    query = sa.select(table.body, table.recorded_at).where(table.kind == accesses.KIND)
    return {body["access"]: (body["commitment"], str(at.date())) for body, at in connection.execute(query)}


def found(work: Workspace) -> list[tuple[int, str]]:
    with work.store.engine.connect() as connection:
        return [(number, what) for number, _, what in accesses.mismatches(connection, entries(connection))]


@pytest.mark.quick
def test_the_log_has_a_commitment_and_nothing_of_who_or_whom(country: Country) -> None:
    work = country.open()
    basis = Basis("complaint", "Law 1, article 2", "2026/117")
    seen = Seen("person", persons=[ONE], fields=["full_name"])
    accesses.record(work.store, "person:mai", "lineage.read", ONE, seen, basis)
    accesses.record(work.store, "user:ops", "golden.history", f"person {OTHER} full_name")
    with work.store.engine.connect() as connection:
        bodies = connection.execute(sa.select(tables.log_entries.c.body)).scalars().all()
        kept = connection.execute(sa.select(tables.accesses).order_by(tables.accesses.c.id)).mappings().all()
        assert log.first_broken(connection) is None
    assert [body.keys() for body in bodies] == [{"access", "commitment"}] * 2
    assert [row["persons"] for row in kept] == [[ONE], [OTHER]], "of a subject with ids they are the persons"
    assert (kept[0]["purpose"], kept[0]["legal_basis"], kept[0]["case_reference"]) == tuple(vars(basis).values())
    assert kept[1]["purpose"] == "golden.history", "what is done is the purpose where nobody says another"
    assert [row["log_index"] for row in kept] == [0, 1]
    assert found(work) == []


@pytest.mark.quick
def test_a_look_that_is_altered_removed_or_added_is_found(country: Country) -> None:
    work = country.open()
    for _ in range(4):
        accesses.record(work.store, "user:ops", "lineage.read", ONE)
    for change in (
        "update accesses set principal = 'user:x' where id = 1",
        "update accesses set salt = null where id = 2",
        "delete from accesses where id = 3",
        "insert into accesses (id, principal, action, subject) values (9, 'x', 'y', 'z')",
    ):
        with work.store.engine.begin() as connection:
            behind_the_bus(connection, change)
    assert found(work) == [(1, "altered"), (2, "altered"), (9, "added"), (3, "removed")]


def test_a_person_is_told_of_each_page_of_a_feed_that_had_them(country: Country) -> None:
    country.after(whole_job)
    work = country.open()
    key = keys.issue(work.store, "beta")
    feed = TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})
    for path in ("changes?after=0&limit=2", "changes?after=2&limit=2", "snapshot?limit=3", "changes?after=6"):
        assert feed.get(f"/v1/feeds/person/{path}").status_code == 200
    ids = [row[0] for row in rows(country, "select person_id::text from feed_person order by seq")]
    accesses.record(work.store, "user:ops", "lineage.read", ids[2])
    listed = {place: list_accesses(work, Wanted(ids[place]), "user:auditor") for place in (0, 2)}
    pages = {
        place: [(row["first_seq"], row["last_seq"]) for row in found if row["action"] == "feed.read"]
        for place, found in listed.items()
    }
    assert pages == {0: [(1, 2)], 2: [(3, 4)]}
    assert [row["action"] for row in listed[2]][:2] == ["accesses.list", "lineage.read"]
    first = next(row for row in listed[0] if row["action"] == "feed.read")
    assert (first["principal"], first["fields"]) == ("beta", ["personal_id", "full_name", "death_date"])
    assert first["legal_basis"]
    had = [place for place, one in enumerate(sorted(ids)) if one in (ids[0], ids[2]) and place < 3]
    snapshots = [row for found in listed.values() for row in found if row["action"] == "feed.snapshot"]
    assert len(snapshots) == len(had)
    with pytest.raises(ConfigurationError, match="own ids"):
        list_accesses(work, Wanted("001090000001"), "user:auditor")


def test_looks_are_listed_by_command_line_and_say_what_for(country: Country) -> None:
    from typer.testing import CliRunner

    work = country.open()
    accesses.record(work.store, "beta", "feed.read", "person after 0 limit 10")
    said = ["--purpose", "complaint", "--case", "2026/117"]
    for words in ([*said, "accesses", "list"], ["accesses", "list", "--principal", "beta"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    answer = CliRunner().invoke(app, ["accesses", "list", "--json"])
    told = json.loads(answer.stdout)
    assert [(row["action"], row["purpose"], row["case_reference"]) for row in told] == [
        ("accesses.list", "command accesses", None),
        ("accesses.list", "command accesses", None),
        ("accesses.list", "complaint", "2026/117"),
        ("feed.read", "feed.read", None),
    ]
