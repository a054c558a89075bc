"""A cleaner's work on one value, step by step: for a person who asks why a value came out as it did.

The steps are the pieces that the cleaner's own SQL is chained from, run one at a time; there is no second account of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from motlan.errors import ConfigurationError
from motlan.expressions.catalogue import FUNCTIONS
from motlan.expressions.dialect import Scalar, fill
from motlan.expressions.duckdb.dialect import DUCKDB
from motlan.expressions.duckdb.session import one


@dataclass(frozen=True)
class Step:
    """One step: what it does, the value after it, whether that is another than before, and what is to be known about it.

    A note names what was seen: an encoding and how sure it is, why a zero was or was not put back, how precise a date is.
    """

    name: str
    value: Scalar
    changed: bool
    note: str | None = None


def explain(
    con: duckdb.DuckDBPyConnection, function: str, value: str | None, others: Sequence[Scalar] = ()
) -> list[Step]:
    """Run a cleaner over one value and return its steps; the last one is the cleaner's own answer.

    Args:
        con: A session of the engine, with the code lists where the function needs them.
        function: A function of the catalogue.
        value: The value, which becomes the first argument that is not written out.
        others: The other arguments, in order.

    Raises:
        ConfigurationError: There is no such function, or it takes other arguments.
    """
    declared = FUNCTIONS.get(function)
    if declared is None:
        names = ", ".join(sorted(FUNCTIONS))
        raise ConfigurationError(f"there is no function {function}", next_step=f"use one of {names}.")
    if not declared.accepts(len(others) + 1):
        raise ConfigurationError(
            f"{function} takes other arguments", next_step=f"it is {declared.signature}; give the rest by --with."
        )
    rest = [DUCKDB.typed_null() if other is None else DUCKDB.literal(other) for other in others]
    steps: list[Step] = []
    now: Scalar = value
    for stage in DUCKDB.functions.stages.get(function, ()):
        step = _step(con, stage.name, fill(stage.sql, ("x", *rest)), now, fill(stage.note, ("x", *rest)))
        steps.append(step)
        now = step.value
    place = next(n for n, parameter in enumerate(declared.parameters) if not parameter.written_out)
    answer = _step(con, function, DUCKDB.call(function, [*rest[:place], "x", *rest[place:]]), value, "NULL")
    return [*steps, answer]


def _step(con: duckdb.DuckDBPyConnection, name: str, sql: str, before: Scalar, note: str) -> Step:
    after, told = one(con, f"select {sql}, {note} from (select $1::varchar as x)", [before])
    return Step(name, after, after != before, told)
