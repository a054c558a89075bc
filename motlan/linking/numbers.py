"""The numbers that persons bore, written for the lake: of whom each was, since when and until when, and what it names still."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from motlan import identifier_history
from motlan.config.matching import Matching
from motlan.expressions import quote
from motlan.lake.iceberg import changes, created, current
from motlan.lake.tables import FORMER, KEYS, NAMES, former_table, identifiers_table, names_table

if TYPE_CHECKING:
    from motlan.linking.persist import Files

FORMER_COLUMNS = ("record", "person", "holds", "_ref")
"""Columns of `former.<entity>` beside its key: the record that an earlier row is of now and the row that founds its person, both
by their numbers; whether the record is known by it still; and the row's own reference."""
NAMED_COLUMNS = ("first", "last")
"""Columns of `names.<entity>` beside its key: the first and the last number of the one who bore a number."""


@dataclass(frozen=True)
class Histories:
    """What a linking that followed former numbers left, beside the relation `histories`.

    Attributes:
        earlier: Relation of earlier rows: `n`, `dataset`, `_key`, `_ref`, `gone`.
        former: Relation of which of them hold: `n`, `record`, `person`, `holds`.
        rows: Relation of current rows: `n`, `dataset`, `_key`; all that earlier ones are of.
        facts: Gives the relation of the current rows, with all fields, of some records (`new_dataset`, `new_key` of a relation).
    """

    earlier: str
    former: str
    rows: str
    facts: Callable[[str], str]


@dataclass(frozen=True)
class Numbers:
    """The writing of one linking.

    Attributes:
        files: Where it goes.
        entity: The entity's name.
        published: The reconcile runs published before.
        matching: The declaration.
    """

    files: Files
    entity: str
    published: Collection[str]
    matching: Matching

    def write(self, histories: Histories | None, links: str) -> None:
        """Write what changed of the numbers that persons bore, and keep what a thing beside a person may be named by.

        Args:
            histories: What the linking left; None where no record has a history.
            links: Relation of links, those of all records with a history among them.
        """
        relations, followed = self.files.relations, self.matching.followed
        key, columns = identifier_history.PERIOD_KEY, identifier_history.PERIOD_COLUMNS
        if histories:
            told = self._whole_histories(histories)
            relations.make("periods", identifier_history.periods_query(told, followed, links))
            named = identifier_history.named_query(told, histories.earlier, histories.former, followed)
            self.files.keep(identifier_history.NAMES, named)
            former = f"""select n, f.record, f.person, f.holds, e._ref from {histories.former} as f
                join (select n, _ref from {histories.earlier}) as e using (n)"""
            self._write(FORMER, former_table(self.entity), former, FORMER_COLUMNS)
            self._write(NAMES, names_table(self.entity), f"from {identifier_history.NAMES}", NAMED_COLUMNS)
            self._write("periods", identifiers_table(self.entity), "from periods", columns, key)
            return
        for name, table, others in (
            (FORMER, former_table(self.entity), FORMER_COLUMNS),
            (NAMES, names_table(self.entity), NAMED_COLUMNS),
        ):
            self._write(name, table, None, others)
        self._write("periods", identifiers_table(self.entity), None, columns, key)

    def _write(
        self, name: str, table: str, now: str | None, columns: Collection[str], key: Collection[str] | None = None
    ) -> None:
        """Write what turns the published rows of a table into a query's; into none where there is no query."""
        relations, key = self.files.relations, key or KEYS[name]
        files = self.files.work.lake.base_and_deltas(table, set(self.published))
        if not files and now is None:
            return
        names = ", ".join(map(quote, (*key, *columns)))
        if files:
            relations.make(f"{name}_before", f"select {names} from {current(files, key)}")
        relations.make(f"{name}_now", f"select {names} from ({now})" if now else f"from {name}_before limit 0")
        new, old = f"{name}_now", f"{name}_before"
        query = changes(new, old, key, columns) if files else created(new, key, columns)
        self.files.write_changes(f"{name}_changed", table, query)

    def _whole_histories(self, found: Histories) -> str:
        """Return the relation of the records' histories, those of records that are gone as a part of their successors'."""
        relations = self.files.relations
        relations.make(
            "successors_of",
            f"""select distinct was.dataset as of, was._key as gone_key, now.dataset as new_dataset, now._key as new_key
                from (select n, dataset, _key, gone from {found.earlier}) as was
                join (select n, record, holds from {found.former}) as former using (n)
                join {found.rows} as now on now.n = former.record where gone and holds""",
        )
        if not relations.fetch_one("select count(*) from successors_of")[0]:
            return "histories"
        fields = ", ".join(map(quote, self.files.work.registry.entity(self.entity).fields))
        own = f"_ref, _moment, {fields}"
        return relations.make(
            "whole_histories",
            f"""select dataset, _key, {own}, _stands, _age from histories
                anti join successors_of on of = dataset and gone_key = _key
                union all select new_dataset, new_key, {own}, false, _age + {identifier_history.OLDER}
                from histories join successors_of on of = dataset and gone_key = _key
                union all select dataset, _key, {own}, true, 1 from {found.facts("successors_of")} as f
                semi join successors_of on new_dataset = f.dataset and new_key = f._key
                anti join histories as h on h.dataset = f.dataset and h._key = f._key""",
        )
