"""A cleaner's work on one value, step by step: for a person who asks why a value came out as it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from motlan.engine.catalogue import FUNCTIONS
from motlan.engine.dialect import Scalar
from motlan.engine.duckdb_dialect import DUCKDB
from motlan.engine.duckdb_names import PERSON_NAME
from motlan.engine.session import one
from motlan.errors import ConfigurationError

_STEPS = {"person_name": PERSON_NAME}


@dataclass(frozen=True)
class Step:
    """One step: what it does, the value after it, and whether that is another than before."""

    name: str
    value: Scalar
    changed: bool


def explain(con: duckdb.DuckDBPyConnection, function: str, value: str, others: Sequence[str] = ()) -> list[Step]:
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
    steps: list[Step] = []
    now: Scalar = value
    for name, sql in _STEPS.get(function, ()):
        now = _step(con, steps, name, sql("x"), now)
    place = next(n for n, parameter in enumerate(declared.parameters) if not parameter.written_out)
    arguments = [*map(DUCKDB.literal, others[:place]), "x", *map(DUCKDB.literal, others[place:])]
    answer = one(con, f"select {DUCKDB.call(function, arguments)} from (select $1::varchar as x)", [value])[0]
    steps.append(Step(function, answer, answer != value))
    return steps


def _step(con: duckdb.DuckDBPyConnection, steps: list[Step], name: str, sql: str, before: Scalar) -> Scalar:
    after: Scalar = one(con, f"select {sql} from (select $1::varchar as x)", [before])[0]
    steps.append(Step(name, after, after != before))
    return after
