"""What sends a row another way than its own rules say: the drift of its chunk, and a person's waiver.

A drifted chunk of a dataset whose contract is `quarantine` goes to quarantine as a whole. A row that a person waived is
accepted as it is, its findings attached. Both come up seldom, so they amend what the one pass of the rules has made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motlan.config.files import plainly
from motlan.config.quality import RowRule
from motlan.config.storable import STORABLE
from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet
from motlan.ledger import runs, versions
from motlan.ledger.results import Landed
from motlan.workspace import Workspace

DRIFT = RowRule(
    name="schema_drift",
    field="",
    dimension="consistency",
    severity="blocking",
    expression="True",
    message=plainly("The source's columns differ from what is declared: one is new, missing or of another type"),
)
"""The rule that rows of a drifted chunk break."""


@dataclass(frozen=True)
class Exceptions:
    """The exceptions of one run.

    Attributes:
        drifted: Numbers of the chunks to hold back.
        waived: File with the column `_ref`: rows to accept as they are.
    """

    drifted: frozenset[int]
    waived: Path | None


def waived_file(work: Workspace, run: str) -> Path:
    """Return where a replay says which of its rows are waived."""
    return work.scratch(run) / "waived.parquet"


def of(work: Workspace, run: runs.Run) -> Exceptions:
    """Read a run's exceptions."""
    held = work.registry.dataset(run.subject).contract == "quarantine"
    drifted = run.result(Landed).drift.get("chunks", ()) if held else ()
    waived = waived_file(work, run.id)
    return Exceptions(frozenset(drifted), waived if waived.exists() else None)


def amended(query: str, exceptions: Exceptions) -> str:
    """Wrap the query that tags rows, where a run has exceptions; else return it as it is.

    Args:
        query: Gives `_ref`, `_errors`, `_accepted` and more.
        exceptions: The run's.
    """
    if not (exceptions.drifted or exceptions.waived):
        return query
    chunks = ", ".join(literal(str(number)) for number in sorted(exceptions.drifted)) or "null"
    held = f"coalesce(split_part(_ref, '/', 2) in ({chunks}), false)"
    waived = "false"
    if exceptions.waived:
        waived = f"_ref in (select _ref from {read_parquet([str(exceptions.waived)])})"
        waived += "".join(f" and {quote('_rule_' + rule.name)} is not false" for rule in STORABLE)
    finding = {"rule": DRIFT.name, "dimension": DRIFT.dimension, "severity": DRIFT.severity, "field": DRIFT.field}
    told = ", ".join(f"{literal(key)}: {literal(value)}" for key, value in finding.items())
    return (
        f"select * replace (case when {held} then list_append(_errors, {{{told}}}) else _errors end as _errors, "
        f"((_accepted and not {held}) or {waived}) as _accepted)\nfrom ({query})"
    )


def _body(rule: RowRule) -> dict[str, Any]:
    return rule.model_dump(mode="json", exclude={"examples"})


def record_rules(work: Workspace, rules: Iterable[RowRule]) -> None:
    """Keep the blocking rules as they read today: a fingerprint is the id of such a version in the ledger."""
    for rule in (*rules, DRIFT):
        if rule.severity == "blocking":
            versions.record(work.store, "rule", rule.name, _body(rule))


def broken(rules: Iterable[RowRule]) -> str:
    """Return the SQL of the blocking rules that a row broke, with their fingerprints, from its `_errors`."""
    blocking = [rule for rule in (*rules, DRIFT) if rule.severity == "blocking"]
    known = ", ".join(
        f"{literal(rule.name)}: {literal(versions.version_id('rule', rule.name, _body(rule)))}" for rule in blocking
    )
    return (
        "list_transform(list_filter(_errors, lambda finding: finding.severity = 'blocking'), "
        f"lambda finding: {{'rule': finding.rule, 'fingerprint': (map {{{known}}})[finding.rule]}})"
    )
