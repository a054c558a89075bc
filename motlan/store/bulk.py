"""Many rows in and out of the store by COPY, inside the caller's transaction. Errors are wrapped: COPY's quote rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa

from motlan.errors import ContractError, MotlanError
from motlan.store.session import lost

BLOCK = 1 << 20


def _cursor(connection: sa.Connection) -> Any:
    return connection.connection.cursor()


def _refused(what: str, error: Exception) -> MotlanError:
    return lost(error) or ContractError(
        f"the store refused to copy {what} ({type(error).__name__})", next_step="try again; then report this."
    )


def copy_in(connection: sa.Connection, table: LiteralString, source: Path) -> None:
    """Load a headless CSV file into a table; an empty field without quotes is null."""
    try:
        with (
            _cursor(connection) as cursor,
            cursor.copy(f"copy {table} from stdin (format csv)") as copy,
            source.open("rb") as file,
        ):
            while block := file.read(BLOCK):
                copy.write(block)
    except psycopg.Error as error:
        raise _refused(table, error) from None


def copy_out(connection: sa.Connection, query: sa.Select[Any], target: Path) -> None:
    """Write a query's rows to a headless CSV file."""
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    try:
        with (
            _cursor(connection) as cursor,
            cursor.copy(f"copy ({compiled}) to stdout (format csv)") as copy,
            target.open("wb") as file,
        ):
            for block in copy:
                file.write(block)
    except psycopg.Error as error:
        raise _refused(target.stem, error) from None
