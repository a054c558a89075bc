"""The append-only log: what a leaf is of, and what its check finds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from motlan.ledger import log, merkle
from motlan.store import Store
from tests.conftest import Country, behind_the_bus

AT = datetime(2026, 3, 1, 7, 30, 0, 5, UTC)


def test_an_entry_is_hashed_by_its_content_and_not_by_its_order_of_keys() -> None:
    assert log.leaf_data(AT, "x", {"b": "ô", "a": 1}).decode() == (
        '{"at":"2026-03-01T07:30:00.000005Z","body":{"a":1,"b":"ô"},"kind":"x"}'
    )
    same = log.leaf_hash(AT.astimezone(timezone(timedelta(hours=7))), "x", {"a": 1, "b": "ô"})
    assert same == log.leaf_hash(AT, "x", {"b": "ô", "a": 1})
    others = [
        log.leaf_hash(AT, "x", {"a": 1, "b": "o"}),
        log.leaf_hash(AT, "y", {"a": 1, "b": "ô"}),
        log.leaf_hash(AT + timedelta(microseconds=1), "x", {"a": 1, "b": "ô"}),
    ]
    assert same not in others


def fill(store: Store, number: int) -> None:
    with store.engine.begin() as connection:
        for one in range(number):
            log.append(connection, "test", {"number": one})


def test_each_size_of_the_log_is_proved_to_be_in_every_later_one(country: Country) -> None:
    store, size = country.open().store, 37
    fill(store, size)
    with store.engine.connect() as connection:
        leaves = log.leaves(connection)
        roots = [log.root_of(connection, number) for number in range(size + 1)]
        assert roots == [merkle.tree_head(leaves[:number]) for number in range(size + 1)]
        for index in range(size):
            proof = log.prove_inclusion(connection, index, size)
            assert merkle.is_included(leaves[index], index, size, proof, roots[size])
        for old in range(size + 1):
            proof = log.prove_consistency(connection, old, size)
            assert merkle.is_consistent(old, roots[old], size, roots[size], proof)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("update log_entries set body = '{\"number\": 7}' where index = 5", 5),
        ("update log_entries set kind = 'other' where index = 6", 6),
        ("update log_entries set recorded_at = recorded_at + interval '1 microsecond' where index = 0", 0),
        ("update log_entries set leaf_hash = sha256('x') where index = 11", 11),
        ("update log_entries set root_hash = sha256('x') where index = 12", 12),
        ("delete from log_entries where index = 4", 4),
        ("update log_nodes set hash = sha256('x') where level = 2 and index = 1", 7),
        ("delete from log_nodes where level = 1 and index = 0", 1),
        ("insert into log_nodes values (5, 99, sha256('x'))", 13),
    ],
)
def test_the_first_entry_that_does_not_hold_is_found(country: Country, change: str, broken: int) -> None:
    store = country.open().store
    fill(store, 13)
    with store.engine.connect() as connection:
        assert log.first_broken(connection) is None
        behind_the_bus(connection, change)
        assert log.first_broken(connection) == broken
        connection.rollback()


def test_appending_reads_no_more_of_a_long_log_than_of_a_short_one(country: Country) -> None:
    store = country.open().store
    fill(store, 130)
    with store.engine.begin() as connection:
        read: list[int] = []
        original, connection.execute = connection.execute, lambda *given: read.append(1) or original(*given)
        log.append(connection, "test", {})
        assert len(read) <= 6
