"""The circuit breaker: a run that is surely worse than it may be is stopped before anything of it can be seen.

Its watermark does not move, so that the next run pulls the same rows again; its report stays in the ledger. A share of few
rows says little: a limit counts as passed where the lower end of the share's Wilson interval (Wilson 1927) lies above it.
"""

from __future__ import annotations

from math import sqrt

import sqlalchemy as sa

from motlan.config.quality import RowRule
from motlan.config.storable import BUILT_IN
from motlan.errors import ContractError
from motlan.ledger import runs
from motlan.ledger.results import Cleaned
from motlan.store import Store, tables
from motlan.workspace import Workspace

STEP = "breaker"
"""Where in a run's steps the report is kept."""
SURE = 3.0
"""Standard deviations: one run in about 700 at the very limit is stopped by chance."""


def least_share(part: int, whole: int, z: float = SURE) -> float:
    """Return the lower end of the Wilson interval of a share."""
    share, z2 = part / whole, z * z
    middle = share + z2 / (2 * whole)
    spread = z * sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole))
    return max(0.0, (middle - spread) / (1 + z2 / whole))


def check(work: Workspace, run: runs.Run, cleaned: Cleaned) -> None:
    """Stop a sync run whose share of blocked rows, or its rise above the last runs, passes a limit.

    Args:
        work: The open installation.
        run: The sync run.
        cleaned: What its cleaning counted.

    Raises:
        ContractError: A limit is passed; the report is in the ledger's run.
    """
    blocked = cleaned.quarantined
    whole = cleaned.accepted + blocked
    limits = work.registry.scoring.breaker_of(run.subject)
    if whole < limits.minimum_rows:
        return
    least, before = least_share(blocked, whole), _share_before(work.store, run, limits.runs)
    passed = None
    if least > limits.blocking_share:
        passed = f"more than the {limits.blocking_share:.1%} that a run may have"
    elif before is not None and least - before > limits.rise:
        passed = f"{blocked / whole - before:.1%} more than in the last runs, where {limits.rise:.1%} may be"
    if passed is None:
        return
    broken = _broken(work, cleaned)
    report = {
        "rows": whole,
        "blocked": blocked,
        "share": round(blocked / whole, 4),
        "share_before": None if before is None else round(before, 4),
        "limits": limits.model_dump(),
        "rules": broken,
    }
    runs.note(work.store, run.id, STEP, report)
    most = max(broken, key=lambda name: broken[name], default="no rule")
    raise ContractError(
        f"{blocked:,} of {whole:,} rows are blocked ({blocked / whole:.1%}), {passed}; most break {most}",
        where=run.subject,
        next_step="see `motlan status --json`, ask the owner; a limit is changed in mapping/scoring.yaml.",
    )


def _broken(work: Workspace, cleaned: Cleaned) -> dict[str, int]:
    """Return how many rows broke each blocking rule, of those that any row broke."""
    rules = {**work.registry.rules.by_name, **{rule.name: rule for rule in BUILT_IN}}
    found = {}
    for name, (assessed, passed) in cleaned.rules.items():
        rule = rules.get(name)
        if isinstance(rule, RowRule) and rule.severity == "blocking" and assessed > passed:
            found[name] = assessed - passed
    return found


def _share_before(store: Store, run: runs.Run, number: int) -> float | None:
    """Return the share of blocked rows over the last runs of a dataset that were seen; None where there is none."""
    table = tables.runs.c
    query = (
        sa.select(table.steps["clean"])
        .where(table.kind == "sync", table.subject == run.subject, table.state.in_(runs.SEEN), table.id < run.id)
        .where(sa.not_(table.steps["land"].has_key("replayed")))
        .order_by(table.id.desc())
        .limit(number)
    )
    with store.engine.connect() as connection:
        before = [Cleaned.read(counts) for counts in connection.scalars(query) if counts]
    blocked = sum(cleaned.quarantined for cleaned in before)
    whole = blocked + sum(cleaned.accepted for cleaned in before)
    return blocked / whole if whole else None
