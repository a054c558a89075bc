"""The demo's own reviewers: two people who decide pairs by the truth, are wrong sometimes, and take that back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from motlan.errors import MotlanError
from motlan.stewardship import review_decisions, review_queue
from motlan.stewardship.review_decisions import Said
from motlan.store.tables import PAIR
from motlan.workspace import Workspace

NAMES = ("person:reviewer-1", "person:reviewer-2")
"""Two, because a share of the pairs needs two who agree."""
PAIRS = 10
"""Pairs that each of them takes at a sitting."""
WRONG = 0.1
"""Share of the pairs of a sitting, one at least, that both decide wrongly, where there is a later sitting to take it back."""

Pair = tuple[str, str, str, str]


class Reviewers:
    """Decide some pairs between the days; what was wrong is taken back at the next sitting.

    Attributes:
        decided: How many decisions of which verdict were made; `wrong` of them against the truth, `undone` taken back,
            `refused` not taken in by the bus.
    """

    def __init__(self, work: Workspace, world: Path, sittings: int, entity: str = "person") -> None:
        self._work, self._world, self._left, self._entity = work, world, sittings, entity
        self._wrong: list[tuple[int, str]] = []
        self._erred: set[Pair] = set()
        self.decided: Counter[str] = Counter(same=0, different=0, wrong=0, undone=0, refused=0)

    def sit(self, day: int) -> None:
        """Take pairs and decide them by what is true on a day; first take back what was decided wrongly before."""
        self._left -= 1
        for decision, name in self._wrong:
            review_decisions.withdraw(self._work, decision, name, "It was a mistake.")
            self.decided["undone"] += 1
        self._wrong = []
        given: dict[str, list[tuple[int, Pair]]] = {}
        for name in NAMES:
            review_queue.take(self._work, self._entity, name, PAIRS)
            assigned = review_queue.assigned(self._work, self._entity, name)
            given[name] = [(row["assignment"], _pair(row)) for row in assigned]
        pairs = sorted({pair for rows in given.values() for _, pair in rows})
        same = true_answers(self._world, day, pairs)
        wrong = self._mistaken([pair for pair in pairs if pair in same])
        for name, rows in given.items():
            for assignment, pair in rows:
                if pair in same:
                    self._decide(name, assignment, same[pair], wrong=pair in wrong)

    def _mistaken(self, pairs: list[Pair]) -> set[Pair]:
        """Choose the pairs that are decided wrongly; nobody errs twice about a pair, nor at the last sitting."""
        ranked = sorted((pair for pair in pairs if pair not in self._erred), key=_rank)
        found = set(ranked[: max(1, round(WRONG * len(ranked)))]) if self._left else set()
        self._erred |= found
        return found

    def _decide(self, name: str, assignment: int, same: bool, *, wrong: bool) -> None:
        verdict = "same" if same != wrong else "different"
        said = Said(
            assignment=assignment, verdict=review_decisions.verdict(verdict), reason="Both records were looked at."
        )
        try:
            (number,) = review_decisions.decide(self._work, name, [said])
        except MotlanError:
            # It contradicts what people decided before, say: that is the bus's to refuse.
            self.decided["refused"] += 1
            return
        self.decided[verdict] += 1
        if wrong:
            self._wrong.append((number, name))
            self.decided["wrong"] += 1


def true_answers(world: Path, day: int, pairs: list[Pair]) -> dict[Pair, bool]:
    """Return, of the pairs whose records the truth knows on a day, whether both are of one person."""
    rows = str(world / "truth" / "rows.parquet")
    with duckdb.connect() as con:
        found = con.execute(
            """select dataset, key, true_id from read_parquet($1) where valid_from_day <= $2
               qualify row_number() over (partition by dataset, key order by valid_from_day desc) = 1""",
            [rows, day],
        ).fetchall()
    of = {(dataset, key): true_id for dataset, key, true_id in found}
    known = [pair for pair in pairs if pair[:2] in of and pair[2:] in of]
    return {pair: of[pair[:2]] == of[pair[2:]] for pair in known}


def _pair(row: Mapping[str, Any]) -> Pair:
    left_dataset, left_key, right_dataset, right_key = (row[column] for column in PAIR)
    return left_dataset, left_key, right_dataset, right_key


def _rank(pair: Pair) -> bytes:
    return hashlib.sha256("/".join(pair).encode()).digest()
