"""Ids that nobody can guess: the same in every run, apart for every kind, register and secret."""

from __future__ import annotations

import uuid
from hashlib import sha256
from hmac import new

import duckdb
import pytest

from motlan import ids

SECRET = bytes(range(32))
REGISTERS = ("cards", "pupils")
RECORDS = "(values ('cards', 'A1'), ('cards', 'A2'), ('pupils', 'A1')) as r(dataset, _key)"


def drawn(query: str) -> list[str]:
    return [row[0] for row in duckdb.sql(query).fetchall()]


def test_ids_of_records_are_uuids_and_the_same_again() -> None:
    query = f"select {ids.of_record(SECRET, 'person', REGISTERS)} from {RECORDS}"
    made = drawn(query)
    assert made == drawn(query)
    assert [str(uuid.UUID(one)) for one in made] == made
    assert len(set(made)) == len(made) == 3


def test_ids_do_not_depend_on_which_registers_there_are() -> None:
    some = drawn(f"select {ids.of_record(SECRET, 'person', REGISTERS)} from {RECORDS}")
    more = drawn(f"select {ids.of_record(SECRET, 'person', ('added', *REGISTERS))} from {RECORDS}")
    assert some == more


def test_a_row_is_named_by_its_alias() -> None:
    bare = drawn(f"select {ids.of_record(SECRET, 'person', REGISTERS)} from {RECORDS}")
    assert drawn(f"select {ids.of_record(SECRET, 'person', REGISTERS, 'r.')} from {RECORDS}") == bare


@pytest.mark.parametrize(("secret", "kind"), [(bytes(32), "person"), (SECRET, "membership")])
def test_another_secret_or_kind_gives_other_ids(secret: bytes, kind: str) -> None:
    mine = drawn(f"select {ids.of_record(SECRET, 'person', REGISTERS)} from {RECORDS}")
    other = drawn(f"select {ids.of_record(secret, kind, REGISTERS)} from {RECORDS}")
    assert not set(mine) & set(other)
    assert drawn(f"select {ids.of_text(SECRET, 'person', repr('A1'))}") != drawn(
        f"select {ids.of_text(secret, kind, repr('A1'))}"
    )


def test_an_id_is_the_keyed_hash_of_its_text() -> None:
    key = new(SECRET, b"person", sha256).hexdigest()[:32]
    told = sha256((key + "0101234567").encode()).hexdigest()[:32]
    assert drawn(f"select {ids.of_text(SECRET, 'person', repr('0101234567'))}") == [str(uuid.UUID(told))]
