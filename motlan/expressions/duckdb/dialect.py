"""DuckDB's SQL of every function of the process's catalogue.

Templates use `@1`, `@2` for arguments. One that needs an argument twice binds it with `let`, for a copied argument
would be computed, and nested, again and again; only what rules ask of plain fields does without. No template casts
without `try_`: DuckDB's cast errors quote values.
"""

from __future__ import annotations

from motlan.expressions.catalogue import installed
from motlan.expressions.dialect import Dialect, Scalar, Sql


class DuckDbDialect(Dialect):
    """DuckDB 2."""

    name = "duckdb"

    @property
    def functions(self) -> Sql:
        """The SQL of the functions that the process has."""
        return installed().duckdb

    def quote(self, identifier: str) -> str:
        """Return the identifier in double quotes."""
        return '"' + identifier.replace('"', '""') + '"'

    def literal(self, value: Scalar) -> str:
        """Return a literal; text in single quotes."""
        if value is None:
            return "NULL"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return str(value).lower() if isinstance(value, bool) else repr(value)

    def typed_null(self) -> str:
        """Return a NULL of VARCHAR."""
        return "CAST(NULL AS VARCHAR)"


DUCKDB = DuckDbDialect()
"""The dialect of the built-in engine."""
