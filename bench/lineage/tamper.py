"""A silent change of what is stored, and how tables of PostgreSQL are changed and brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from motlan.workspace import Workspace

Undo = Callable[[], None]
Act = Callable[[], Undo]


@dataclass(frozen=True)
class Tamper:
    """A silent change.

    Attributes:
        name: What is done.
        act: Does it; returns what undoes it.
        store: The store in which it has to be found.
        place: What the finding's place has to contain.
        row: What the finding's row has to contain; empty where a file is told of as a whole.
    """

    name: str
    act: Act
    store: str
    place: str
    row: str = ""


def keep_tables(work: Workspace, *names: str) -> Undo:
    """Keep the rows of tables; return what brings them back."""
    copies = {name: f"kept_{number}_{name}" for number, name in enumerate(names)}
    with work.store.engine.begin() as connection:
        for name, copy in copies.items():
            connection.execute(sa.text(f"create table {copy} as table {name}"))

    def undo() -> None:
        with work.store.engine.begin() as connection:
            connection.execute(sa.text("set local session_replication_role = replica"))
            for name, copy in copies.items():
                connection.execute(sa.text(f"delete from {name}"))
                connection.execute(sa.text(f"insert into {name} select * from {copy}"))
                connection.execute(sa.text(f"drop table {copy}"))

    return undo


def change_by_sql(work: Workspace, statement: str, *names: str) -> Undo:
    """Change tables by a statement, as the owner of the database, whatever guards them."""
    undo = keep_tables(work, *names)
    with work.store.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))
        connection.execute(sa.text(statement.replace(":", "\\:")))
    return undo
