"""The rows of the files to link, as the stages of linking read them: `facts`, and `keys` to name them again."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from motlan.config.files import Place, refusal
from motlan.errors import ContractError
from motlan.expressions import DUCKDB, literal, parse, quote
from motlan.file_linking import tabular
from motlan.file_linking.configuration import SIDES, Configuration
from motlan.linking.linking_rows import ROW
from motlan.linking.relations import Relations


class FileRows:
    """The files' rows, loaded into one session of the engine.

    Attributes:
        counts: File (`left`, `right`) -> its rows.
        titles: File -> its name.
    """

    def __init__(self, relations: Relations, configured: Configuration) -> None:
        self.relations, self.configured = relations, configured
        self.matching, self.files = configured.matching, configured.files
        self.counts: dict[str, int] = {}
        self.titles: dict[str, str] = {}

    def load(self, paths: Sequence[Path]) -> None:
        """Make `facts` (as the stages read them) and `keys` (`n`, `file`, `key`).

        Raises:
            ConfigurationError: A file, a column or a field is not there.
            ContractError: A file cannot be read, or its key does not identify its rows.
        """
        parts = []
        for side, path in zip(SIDES, paths, strict=False):
            columns = tabular.load(self.relations.engine, path, f"{side}_file")
            parts.append(self._facts(side, path, columns))
            self.titles[side] = path.name
            (self.counts[side],) = self.relations.fetch_one(f"select count(*) from {side}_file")
        self.relations.make("facts", " union all ".join(parts))
        for side, path in zip(SIDES, paths, strict=False):
            self._check_key(side, path)
        self.relations.make("keys", f"select {ROW} as n, dataset as file, _key as key from facts")

    def _facts(self, side: str, path: Path, columns: list[str]) -> str:
        key = self.files.key_of(side)
        for name in key:
            self._check_column(name, columns, ["key"], path)
        made = " || '|' || ".join(f"nullif(trim({quote(name)}), '')" for name in key) or "_row::varchar"
        fields = [f"{self._field(name, side, path, columns)} as {quote(name)}" for name in self.matching.fields]
        return f"select {literal(side)} as dataset, {made} as _key, {', '.join(fields)} from {side}_file"

    def _field(self, name: str, side: str, path: Path, columns: list[str]) -> str:
        place = ["fields", name] if name in self.files.fields else ["comparisons"]
        expression = parse(self.files.field_of(name, side), where=f"{self.configured.path.name}, fields, {name}")
        if expression.code_lists:
            raise refusal(
                f"{name} reads a code list", self.configured.path, place, "use cleaners without code lists here."
            )
        for column in sorted(expression.fields):
            self._check_column(column, columns, place, path)
        return f"({expression.sql(DUCKDB)})::varchar"

    def _check_column(self, name: str, columns: list[str], place: Place, path: Path) -> None:
        if name in columns:
            return
        close = difflib.get_close_matches(name, columns, 1)
        mend = f"did you mean {close[0]}?" if close else f"its columns are {', '.join(columns)}."
        if place[0] != "key":
            mend += " Or say under fields: how it is made."
        raise refusal(f"{path.name} has no column {name}", self.configured.path, place, mend)

    def _check_key(self, side: str, path: Path) -> None:
        empty, rows, keys = self.relations.fetch_one(
            f"""select count(*) filter (where _key is null), count(*), count(distinct _key)
                from facts where dataset = {literal(side)}"""
        )
        if empty or keys < rows:
            twice = f"stands on more than one row: {rows - keys:,} rows too many"
            what = f"is empty in {empty:,} rows" if empty else twice
            raise ContractError(
                f"the key ({', '.join(self.files.key_of(side))}) {what}",
                where=path.name,
                next_step="give key: more columns, or leave it out to number the rows.",
            )
