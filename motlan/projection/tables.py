"""The tables in which PostgreSQL mirrors an entity: what it is now (golden) and its change feed. Statements only.

Both are partitioned. Golden by a hash of the bus's own id, into as few parts as keep the sort of
an index in memory: a look-up by id touches one part, by an identifier all of them. The feed by ranges of its numbers, so that it
grows at its end and is read in order; old parts can be detached.
"""

from __future__ import annotations

from dataclasses import dataclass

from motlan.config.registry import Entity, RelatedEntity, id_column
from motlan.ledger.erasures import EVENT
from motlan.projection.digests import DIGEST
from motlan.settings import sizes

TEXT = 'text collate "C"'
"""Type of every canonical field: equal when the bytes are, on any server, and fast to sort for an index."""
STAGED = "staged"
"""Name of the temporary table through which changes come."""
_LINKED_GOLDEN = {"publication": "bigint not null", "standing": "text"}
ENDED_EVENTS = ("removed", "merged", "dissolved", EVENT)
"""Events of who is not there afterwards."""
ENDED = f"({', '.join(map(repr, ENDED_EVENTS))})"
"""The same in SQL."""
STAYS = ("updated", "moved", "disputed", "restored")
"""Events of who is there before and after: of these the changed fields are told."""
_RELATED_GOLDEN = {
    "dataset": "text not null",
    "key": "text not null",
    "ref": "text not null",
    "as_of": "text",
    "publication": "bigint not null",
}
_NUMBERED = {"seq": "bigint not null", "publication": "bigint not null"}
_EVENT = {"event": "text not null", "changed": "text[] not null"}


@dataclass(frozen=True)
class Mirror:
    """The two tables of one entity.

    Attributes:
        name: The entity's name.
        key: The column of the bus's own id.
        owner: The column of the id of the linked entity: the key, or whose it is beside.
        fields: The canonical fields, each a nullable column of both tables.
        golden: Further columns of `golden_<name>`, with their types.
        feed: Further columns of `feed_<name>`. `seq` counts 1, 2, 3, ...; `event` is created, split (off from others), updated,
            moved (won rows of others or lost some), disputed (gone from the spine, and others have it), restored (there again),
            removed (no register has it), merged (into another) or dissolved (into several); erased is what any of them is once
            its values were destroyed. `changed` names the changed fields of who stays, and is empty of any other event, which is
            about every value it has.
        indexed: Columns of the golden table by which rows are looked up, besides the key.
    """

    name: str
    key: str
    owner: str
    fields: tuple[str, ...]
    golden: dict[str, str]
    feed: dict[str, str]
    indexed: tuple[str, ...]

    @property
    def golden_table(self) -> str:
        """Name of the golden table."""
        return f"golden_{self.name}"

    @property
    def feed_table(self) -> str:
        """Name of the feed's table."""
        return f"feed_{self.name}"

    @property
    def golden_kinds(self) -> dict[str, str]:
        """Columns of the golden table, but the digest of a row, with their types."""
        return self.golden | dict.fromkeys(self.fields, TEXT)

    @property
    def feed_kinds(self) -> dict[str, str]:
        """Columns of the feed's table, but the digest of a row, with their types."""
        return self.feed | dict.fromkeys(self.fields, TEXT)

    def parents(self) -> list[str]:
        """Return what makes both tables, without partitions, keys and indexes; a field that is new becomes a column."""
        made = [
            _create(self.golden_table, self.golden, f"partition by hash ({self.key})"),
            _create(self.feed_table, self.feed, "partition by range (seq)"),
        ]
        later = [(self.golden_table, name, kind) for name, kind in self.golden.items() if name == "standing"]
        both = (self.golden_table, self.feed_table)
        later += [(table, name, TEXT) for table in both for name in self.fields]
        later += [(table, DIGEST, "bytea") for table in both]
        return made + [f"alter table {table} add column if not exists {name} {kind}" for table, name, kind in later]

    def golden_parts(self, rows: int) -> list[str]:
        """Return what makes the partitions of the golden table: a power of two of them, by the rows expected."""
        parts = 1 << (-(-rows // sizes().golden_partition_rows) - 1).bit_length() if rows else 1
        return [
            f"create table {self.golden_table}_{part} partition of {self.golden_table} "
            f"for values with (modulus {parts}, remainder {part})"
            for part in range(parts)
        ]

    def feed_parts(self, first: int, last: int) -> list[str]:
        """Return what makes the missing partitions of the feed for the numbers from first to last."""
        size = sizes().feed_partition_rows
        return [
            f"create table if not exists {self.feed_table}_{part} partition of {self.feed_table} "
            f"for values from ({part * size + 1}) to ({(part + 1) * size + 1})"
            for part in range((first - 1) // size, (last - 1) // size + 1)
        ]

    def keys(self) -> list[str]:
        """Return what makes the primary keys of both tables."""
        return [
            f"alter table {self.golden_table} add primary key ({self.key})",
            f"alter table {self.feed_table} add primary key (seq)",
        ]

    def indexes(self) -> list[str]:
        """Return what makes the missing indexes of the golden table. Rows without a value are left out: nobody looks them up."""
        return [
            f"create index if not exists {self.golden_table}_{column} on {self.golden_table} ({column}) "
            f"where {column} is not null"
            for column in self.indexed
        ]

    def statistics(self) -> str:
        """Return what tells the planner of the columns that rows are looked up by. The others would take as long as an index."""
        return f"analyze {self.golden_table} ({', '.join((self.key, *self.indexed))}), {self.feed_table} (seq)"

    def staging(self) -> str:
        """Return what makes the temporary table of changes, with the columns of both. `seq` is null where the feed is silent."""
        kinds = {name: kind.removesuffix(" not null") for name, kind in (self.feed | self.golden).items()}
        kinds |= dict.fromkeys(self.fields, TEXT) | {name: "text[]" for name in kinds if name == "others"}
        kinds |= {"golden_digest": "bytea", "feed_digest": "bytea"}
        return f"create temp table {STAGED} ({', '.join(f'{name} {kind}' for name, kind in kinds.items())})"

    def changes(self) -> list[str]:
        """Return what brings staged changes into both tables. Done twice, the second time changes nothing."""
        golden, feed = (*self.golden, *self.fields), (*self.feed, *self.fields)
        updates = ", ".join(f"{name} = excluded.{name}" for name in (*golden, DIGEST) if name != self.key)
        told = ", ".join("others::uuid[]" if name == "others" else name for name in feed)
        return [
            f"delete from {self.golden_table} using {STAGED} where {self.golden_table}.{self.key} = {STAGED}.{self.key} "
            f"and event in {ENDED}",
            f"insert into {self.golden_table} ({', '.join(golden)}, {DIGEST}) "
            f"select {', '.join(golden)}, golden_digest from {STAGED} "
            f"where event not in {ENDED} on conflict ({self.key}) do update set {updates}",
            f"insert into {self.feed_table} ({', '.join(feed)}, {DIGEST}) select {told}, feed_digest from {STAGED} "
            "where seq is not null on conflict (seq) do nothing",
        ]


def mirror_of(entity: Entity | RelatedEntity) -> Mirror:
    """Return the tables of an entity, be it the main one or one beside it."""
    if isinstance(entity, Entity):
        own = {entity.id_column: "uuid not null"}
        feed = {**_NUMBERED, **own, **_EVENT, "others": "uuid[]"}
        identifiers = tuple(entity.matching.identifiers)
        return Mirror(
            entity.name, entity.id_column, entity.id_column, entity.fields, own | _LINKED_GOLDEN, feed, identifiers
        )
    owner = id_column(entity.declared.of)
    ids = {"id": "uuid not null", owner: "uuid"}
    indexed = (owner, *([entity.declared.key] if entity.declared.key else []))
    return Mirror(
        entity.name, "id", owner, entity.fields, ids | _RELATED_GOLDEN, {**_NUMBERED, **ids, **_EVENT}, indexed
    )


def _create(table: str, columns: dict[str, str], partitioned: str) -> str:
    return f"create table if not exists {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())}) {partitioned}"
