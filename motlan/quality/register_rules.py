"""Register rules: is a register complete against its own count, and as young as its owner promised?"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from motlan.config.quality import RegisterRule
from motlan.expressions import DUCKDB, one


def ask(engine: duckdb.DuckDBPyConnection, rule: RegisterRule, measures: Mapping[str, int | None]) -> tuple[int, int]:
    """Ask a rule of a register.

    Args:
        engine: Where the rule's expression is answered.
        rule: The rule.
        measures: What `REGISTER_NAMES` stand for; None is not known.

    Returns:
        Assessed and passed: nought and nought where it cannot be told, records where the rule has a share, else one and
        whether it holds.
    """
    columns = {name: "null::bigint" if value is None else f"{value}::bigint" for name, value in measures.items()}
    answer = one(engine, f"select {rule.parsed.sql(DUCKDB, columns)}")[0]
    if answer is None:
        return 0, 0
    if rule.share is None:
        return 1, int(answer)
    have, of = measures.get(rule.share.have), measures.get(rule.share.of)
    return (0, 0) if have is None or not of else (of, min(have, of))
