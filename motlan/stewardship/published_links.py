"""What is published of linking, as relations of an engine session: links, pairs left to people, rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from motlan.errors import ConfigurationError
from motlan.expressions import literal, quote
from motlan.lake.tables import links_table
from motlan.ledger import runs
from motlan.linking import stored_models as models
from motlan.linking.model import Model
from motlan.workspace import Workspace


def facts(work: Workspace, entity: str) -> str:
    """Return the SQL of what the registers say now (see `Workspace.facts`)."""
    return work.facts(entity, inputs(work, entity))


def inputs(work: Workspace, entity: str) -> dict[str, list[str]]:
    """Return the sync runs that are to be read now, by dataset."""
    with work.store.engine.connect() as connection:
        names = [dataset.name for dataset in work.registry.datasets_of(entity)]
        return {name: runs.visible(connection, "sync", name) for name in names}


def links(work: Workspace, entity: str) -> str:
    """Return the SQL of the published links.

    Raises:
        ConfigurationError: Nothing is published yet.
    """
    found = work.published_rows(entity, links_table(entity))
    if found is None:
        raise ConfigurationError(
            "nothing is linked yet", next_step="run `motlan reconcile` and `motlan publish` first."
        )
    return found


def released(work: Workspace, entity: str) -> tuple[str, Model]:
    """Return the released model with its id.

    Raises:
        ConfigurationError: There is none yet, or it is not of today's declaration.
    """
    found = models.released(work.store, entity)
    if found is None:
        raise ConfigurationError("there is no model of linking yet", next_step="run `motlan reconcile` first.")
    if not models.fits(work.registry.entity(entity).matching, found[1]):
        raise ConfigurationError(
            "the released model is of other comparisons than are declared",
            where="matching.yaml",
            next_step="run `motlan model fit`, then let it be released.",
        )
    return found


def ordered(left: Sequence[str], right: Sequence[str]) -> str:
    """Return the SQL of a pair's columns (see `tables.PAIR`) of two records, each by its expressions of register and key."""
    first, second = (
        [f"case when {swapped(left, right)} then {b} else {a} end" for a, b in zip(one, other, strict=True)]
        for one, other in ((left, right), (right, left))
    )
    names = ("left_dataset", "left_key", "right_dataset", "right_key")
    return ", ".join(f"{text} as {quote(name)}" for text, name in zip([*first, *second], names, strict=True))


def swapped(left: Sequence[str], right: Sequence[str]) -> str:
    """Return the SQL of whether the second of two records stands left."""
    return f"({left[0]}, {left[1]}) > ({right[0]}, {right[1]})"


def compared() -> tuple[str, str]:
    """Return the SQL of the register and key of the row that a link was compared with."""
    return "split_part(compared, '/', 1)", "substr(compared, instr(compared, '/') + 1)"


def share_of(secret: str, text: str) -> str:
    """Return the SQL of a number from 0 to 1 that a keyed hash gives a text: the same on every run, known to nobody."""
    return f"(('0x' || substr(sha256({literal(secret)} || {text}), 1, 8))::ubigint / 4294967296.0)"


def table(rows: Sequence[Sequence[Any]], kinds: dict[str, pa.DataType]) -> pa.Table:
    """Return rows as an Arrow table of these columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    return pa.table({name: pa.array(column, kind) for (name, kind), column in zip(kinds.items(), columns, strict=True)})
