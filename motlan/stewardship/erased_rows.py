"""Which rows of which of the lake's tables an erasure destroys, and the files without them, written aside.

Rows that the log's roots are over become tombstones: the values and the salt are gone, the reference and the commitment stay.
Rows of other tables are taken out. Where rows of others name the record, its key gives way to a token that says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from motlan.errors import InternalError
from motlan.expressions import literal, quote
from motlan.ingest.raw_columns import of_file, recording
from motlan.lake.iceberg import BASES, PARQUET
from motlan.lake.replace import aside
from motlan.lake.tables import (
    CLEAN,
    CORRECTIONS,
    FINDINGS,
    FORMER,
    GOLDEN,
    GONE,
    IDENTIFIERS,
    IDENTITIES,
    LINKS,
    NAMES,
    PAIRS,
    QUARANTINE,
    RAW,
    REVIEWS,
    ROW_KEYS,
    SALTS,
)
from motlan.ledger.row_commitments import root_of
from motlan.merge.provenance import SOURCES
from motlan.partitioning import hash_number
from motlan.publication.golden_commitments import erase_salts, kept_commitments

STAYS = frozenset({"_ref", "_run", "_commitment"})
"""Columns of a landed row that stay."""
GOLDEN_STAYS = frozenset(
    {"entity_id", "id", "dataset", "_ref", "_run", "_op", "_event", "_ordinal", "_others", "_since"}
)
"""Columns of a golden row that stay: ids of the bus's own, references, and what orders versions."""
ROW = "file_row_number"


@dataclass(frozen=True)
class Rule:
    """What is done with some rows of a table.

    Attributes:
        where: SQL of which rows.
        values: Column -> the SQL of what stands there; None where the rows are taken out.
    """

    where: str
    values: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Erased:
    """What is erased of one record.

    Attributes:
        dataset: Whose record it is.
        entity: The linked entity.
        keys: Its keys at the source; one, but of rows without a key.
        refs: References of all its landed rows.
        numbers: What identifiers its rows said.
        gone: Persons of whom no other record is left.
        shared: Persons of whom other records are.
        beside: The golden tables of what is beside the entity.
        token: What takes its key's place in rows of others.
    """

    dataset: str
    entity: str
    keys: Sequence[str]
    refs: Sequence[str]
    numbers: Sequence[str] = ()
    gone: Sequence[str] = ()
    shared: Sequence[str] = ()
    beside: Collection[str] = ()
    token: str = ""

    def load(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Give a session the tables that the rules read: values stand in no query's text."""
        named = {
            "keys": self.keys,
            "refs": self.refs,
            "numbers": self.numbers,
            "gone": self.gone,
            "shared": self.shared,
        }
        for name, values in named.items():
            engine.register(f"erased_{name}", pa.table({"v": pa.array(values, pa.string())}))
        engine.execute("set variable erased_keys = (select coalesce(list(v), []) from erased_keys)")

    def mine(self, dataset: str = "dataset", key: str = "_key") -> str:
        """Return the SQL of whether columns name the record."""
        return f"({dataset} = {literal(self.dataset)} and {key} in (select v from erased_keys))"

    def own(self, column: str) -> str:
        """Return the SQL of whether a column names the record as `dataset/key`."""
        return f"{column} in (select {literal(self.dataset + '/')} || v from erased_keys)"

    def is_number(self, *columns: str) -> str:
        """Return the SQL of whether one of some columns is the record's number (see `motlan.linking.linking_rows`)."""
        number = hash_number(f"{literal(self.dataset)} || '/' || v")
        return f"({' or '.join(f'{column} in (select {number} from erased_keys)' for column in columns)})"

    def rules(self, table: str, columns: Sequence[str]) -> list[Rule]:
        """Return the rules of a table, of whose file some columns are there; none where nothing of the record can be in it."""
        namespace, name = (
            _of_base(table.removeprefix(f"{BASES}.")) if table.startswith(f"{BASES}.") else table.split(".")
        )
        table = f"{namespace}.{name}"
        if name == self.dataset and namespace in (RAW, CLEAN, QUARANTINE, GONE):
            return self._of_dataset(namespace, columns)
        if namespace == GOLDEN:
            return self._of_golden(table, columns)
        return self._of_entity(namespace) if name == self.entity else []

    def _of_dataset(self, namespace: str, columns: Sequence[str]) -> list[Rule]:
        refs = "_ref in (select v from erased_refs)"
        if namespace == RAW:
            nothing = {name: "null" for name in columns if name not in STAYS}
            return [Rule(refs, nothing)]
        return [Rule("_key in (select v from erased_keys)" if namespace == GONE else refs)]

    def _of_golden(self, table: str, columns: Sequence[str]) -> list[Rule]:
        nothing = {name: "null" for name in columns if name not in GOLDEN_STAYS}
        nothing["_changed"] = "[]::varchar[]"
        if table != f"{GOLDEN}.{self.entity}":
            return [Rule(self.mine(), nothing | {"_key": literal(self.token)})] if table in self.beside else []
        of = f"s.dataset = {literal(self.dataset)} and list_contains(getvariable('erased_keys'), s.key)"
        named = f"len(list_filter({SOURCES}, lambda s: {of})) > 0"
        emptied = f"case when {of} then struct_update(s, key := {literal(self.token)}) else s end"
        scrubbed = f"list_transform({SOURCES}, lambda s: {emptied})"
        rules = [Rule("entity_id in (select v from erased_gone)", nothing)]
        if SOURCES in columns:
            shared = f"entity_id in (select v from erased_shared) and {named}"
            rules.append(Rule(shared, {SOURCES: scrubbed}))
        return rules

    def _of_entity(self, namespace: str) -> list[Rule]:
        token = literal(f"{self.dataset}/{self.token}")
        if namespace == LINKS:
            values = {
                name: f"case when {self.own(name)} then {token} else {name} end" for name in ("founder", "compared")
            }
            return [Rule(self.mine()), Rule(f"({self.own('founder')} or {self.own('compared')})", values)]
        if namespace == IDENTITIES:
            founded = f"case when {self.own('founded_by')} then {token} else founded_by end"
            nobody = {"state": "'retired'", "dataset": "null", "_key": "null", "founded_by": founded}
            named = {"founded_by": founded, "_key": f"case when {self.mine()} then {literal(self.token)} else _key end"}
            return [
                Rule("entity_id in (select v from erased_gone)", nobody),
                Rule(f"({self.mine()} or {self.own('founded_by')})", named),
            ]
        if namespace == NAMES:
            return [Rule("value in (select v from erased_numbers)")]
        where = {
            REVIEWS: f"({self.mine()} or {self.mine('other_dataset', 'other_key')})",
            PAIRS: self.is_number("n", "other"),
            IDENTIFIERS: self.mine(),
            ROW_KEYS: self.mine(),
            FORMER: f"(_ref in (select v from erased_refs) or {self.is_number('record', 'person')})",
            CORRECTIONS: self.mine(),
            FINDINGS: f"({self.mine()} or entity_id in (select v from erased_gone))",
        }.get(namespace)
        return [Rule(where)] if where else []


def _of_base(name: str) -> tuple[str, str]:
    """Return namespace and name of the table that a base is of."""
    namespace = ROW_KEYS if name.startswith(f"{ROW_KEYS}_") else name.split("_")[0]
    return namespace, name.removeprefix(f"{namespace}_")


@dataclass
class Rewriting:
    """Files that were written aside.

    Attributes:
        erased: What is erased.
        engine: A session that `erased` was loaded into.
        root: The lake's folder.
        things: Rows of what is beside the entity that became tombstones: table -> run and id of each.
        tables: Table -> its files that were written aside.
    """

    erased: Erased
    engine: duckdb.DuckDBPyConnection
    root: Path
    things: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)

    def rewrite(self, table: str, path: str) -> Iterator[str]:
        """Write a file aside without what is erased, and a golden file's salts; give each file, none where nothing is in it."""
        columns = pq.read_schema(path).names
        rules = self.erased.rules(table, columns)
        if not rules or table.startswith(f"{SALTS}."):
            return
        marks = ", ".join(f"coalesce({rule.where}, false) as _rule_{place}" for place, rule in enumerate(rules))
        rows = f"select *, {marks} from read_parquet({literal(path)}, {ROW} = true, hive_partitioning = false)"
        touched = " or ".join(f"_rule_{place}" for place in range(len(rules)))
        query = f"select {ROW} from ({rows}) where {touched} order by {ROW}"
        positions = [row[0] for row in self.engine.execute(query).fetchall()]
        if not positions:
            return
        self._write(path, table, columns, rules, rows)
        self.tables.setdefault(table, []).append(path)
        yield path
        if table.startswith(f"{GOLDEN}."):
            if table != f"{GOLDEN}.{self.erased.entity}":
                self._note_things(table, rows)
            salts = self.root / SALTS / Path(path).relative_to(self.root / GOLDEN)
            if salts.exists():
                self._erase_salts(path, salts, positions)
                self.tables.setdefault(f"{SALTS}.{table.split('.')[1]}", []).append(str(salts))
                yield str(salts)

    def _write(self, path: str, table: str, columns: Sequence[str], rules: Sequence[Rule], rows: str) -> None:
        chosen = []
        for name in columns:
            kept = quote(name)
            cases = [
                f"when _rule_{place} then {rule.values[name]}"
                for place, rule in enumerate(rules)
                if rule.values and name in rule.values
            ]
            made = f"case {' '.join(cases)} else {kept} end" if cases else kept
            chosen.append(f"{made} as {quote(name)}")
        out = " or ".join(f"_rule_{place}" for place, rule in enumerate(rules) if rule.values is None) or "false"
        how = PARQUET + (recording(of_file(path)) if table.startswith(f"{RAW}.") else "")
        target = literal(str(aside(path)))
        query = f"select {', '.join(chosen)} from ({rows}) where not ({out}) order by {ROW}"
        self.engine.execute(f"copy ({query}) to {target} ({how})")

    def _note_things(self, table: str, rows: str) -> None:
        query = f"select _run, id from ({rows}) where _rule_0"
        self.things.setdefault(table, []).extend(self.engine.execute(query).fetchall())

    def _erase_salts(self, path: str, salts: Path, positions: Sequence[int]) -> None:
        """Write a golden file's salts aside without those of its tombstones. Its root must come out as it was."""
        before = kept_commitments(self.engine, path, salts)
        gone = set(positions)
        erased = pa.array([place in gone for place in range(len(before))])
        erase_salts(salts, aside(salts), before, erased)
        if root_of(kept_commitments(self.engine, aside(path), aside(salts))) != root_of(before):
            raise InternalError(
                "a file of golden rows would not have the root that the log says",
                where=Path(path).relative_to(self.root).as_posix(),
                next_step="report this: nothing was erased.",
            )
