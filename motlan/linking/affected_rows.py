"""Which rows a change can give another outcome: found by what rows share with the changed ones, as they were and as they are.

What a row is linked to depends on the rows of the spine that share a number, an exact key or a blocking key with it. Rows that
deterministic linking leaves depend also on the rows of their dataset that have a candidate in common with them, and those that
belong to nobody on the spine on each other. A pair that is too light to matter joins nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motlan.config.matching import Matching
from motlan.expressions import literal, quote
from motlan.linking import row_keys
from motlan.linking.clustering import PROVISIONAL
from motlan.linking.model import RESIDUAL_KNOWN
from motlan.linking.probabilistic import PROBABLE
from motlan.linking.residual import least_weight
from motlan.linking.scored_pairs import Context, pairs_by_blocking_rules, probability_without_rivals

UNLINKED = (PROVISIONAL, "provisional founder")
"""Rules of rows that belong to nobody on the spine."""
RESIDUAL = (PROBABLE, *UNLINKED)
"""Rules of rows that deterministic linking leaves."""
LEFT_OVER = ("exact", *RESIDUAL)
"""Rules of rows that no identifier links."""


def texts(values: Iterable[str]) -> str:
    """Return the SQL of a list of texts."""
    return ", ".join(map(literal, values))


@dataclass(frozen=True)
class Affected:
    """The search for affected rows, on one engine session.

    It reads `rows_now` (all current rows, as `row_keys.<entity>` has them), `left_over_rows` (those of `LEFT_OVER` before, with
    `rule` and `founder_n`) and `duplicates_before` (`n`, `person`). What it finds are relations with `n`.

    Attributes:
        context: The linking.
        spine: SQL of whether a row is of the spine.
    """

    context: Context
    spine: str

    @property
    def matching(self) -> Matching:
        """The declaration."""
        return self.context.matching

    def sharing(self, rows: str, others: str, pairs: Sequence[tuple[str, str]]) -> str:
        """Return the SQL of the `n` of rows that share a hash with others.

        Args:
            rows: Relation.
            others: Relation.
            pairs: Columns of the rows, and of the others.
        """
        parts = [
            f"select n from {rows} as r semi join (select distinct {quote(theirs)} as shared from {others} "
            f"where {quote(theirs)} is not null) as o on o.shared = r.{quote(mine)}"
            for mine, theirs in dict.fromkeys(pairs)
        ]
        return " union ".join(parts) or f"select n from {rows} where false"

    @property
    def identifiers(self) -> list[tuple[str, str]]:
        """Columns of hashes of identifiers, of either side."""
        return [(row_keys.of_identifier(name),) * 2 for name in self.matching.identifiers]

    @property
    def first_identifier(self) -> list[tuple[str, str]]:
        """Those of the first one, by which duplicates of the spine are found."""
        return self.identifiers[:1]

    @property
    def exact(self) -> list[tuple[str, str]]:
        """The column of the exact key's hash, of either side."""
        return [(row_keys.EXACT, row_keys.EXACT)] if self.matching.exact else []

    @property
    def spine_of_left(self) -> list[tuple[str, str]]:
        """Columns of rows of the spine and of left rows that meet an identifier or a blocking rule."""
        rules = [(right, left) for left, right in row_keys.rule_columns(self.matching)]
        return [*self.identifiers, *rules]

    def candidates(self, left: str, spine: str, where: str = "true") -> str:
        """Return the SQL of the pairs (`n`, `other`) of left rows with rows of the spine that are heavy enough to matter."""
        pairs = pairs_by_blocking_rules(self.matching, left, spine)
        return (
            f"select l.n, r.n as other from ({pairs}) as pairs join {left} as l on l.n = pairs.n "
            f"join {spine} as r on r.n = pairs.other where {where} and {self.context.weight} >= "
            f"{least_weight(self.context.model)}"
        )

    def of_changed_spine(self, spine: str) -> list[str]:
        """Return the SQL of the rows that a changed row of the spine can affect.

        Args:
            spine: Relation of such rows, as they were and as they are.
        """
        return [
            f"select n from ({self.sharing(self.rows(on_spine=True), spine, self.first_identifier)})",
            f"select n from ({self.sharing(self.rows(on_spine=False), spine, self.identifiers)})",
            f"select n from ({self.sharing('left_over_rows', spine, self.exact)})",
            f"select distinct n from ({self.candidates('left_over_rows', spine)})",
        ]

    def of_changed_left(self, left: str) -> list[str]:
        """Return the SQL of the rows that a changed left row can affect by its own values.

        Args:
            left: Relation of such rows, as they were and as they are.
        """
        unlinked = f"(from left_over_rows where rule in ({texts(UNLINKED)}))"
        return [
            f"select n from ({self.sharing('left_over_rows', left, self.exact)})",
            f"select distinct n from ({self.near(unlinked, left)})",
        ]

    def near(self, rows: str, others: str) -> str:
        """Return the SQL of the pairs (`n`, `other`) of rows, and others, that may be of one cluster, or a review."""
        known = RESIDUAL_KNOWN if self.matching.spine else self.context.model.known
        probability = probability_without_rivals(known, self.context.model.provisional_rows)
        review = self.context.model.review_threshold
        ways = []
        for left, right, swapped in ((rows, others, False), (others, rows, True)):
            pairs = pairs_by_blocking_rules(self.matching, left, right, "l.n != r.n")
            names = "r.n as n, l.n as other" if swapped else "l.n as n, r.n as other"
            ways.append(
                f"select n, other from (select {names}, {self.context.weight} as match_weight from ({pairs}) as pairs "
                f"join {left} as l on l.n = pairs.n join {right} as r on r.n = pairs.other) where {probability} >= {review}"
            )
        return " union ".join(ways)

    def of_persons(self, persons: str) -> str:
        """Return the SQL of the rows that have a candidate of which a row of their dataset came or went.

        Args:
            persons: Relation of `dataset`, and of what linking compares of the persons' rows on the spine.
        """
        return f"select distinct n from ({self.candidates('left_over_rows', persons, 'l.dataset = r.of_dataset')})"

    def rows(self, *, on_spine: bool) -> str:
        """Return the SQL of all current rows of the spine, or of all others."""
        return f"(from rows_now where {self.spine if on_spine else f'not ({self.spine})'})"
