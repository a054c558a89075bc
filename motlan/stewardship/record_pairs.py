"""Pairs of rows under the frozen model: what each comparison says, and how much it weighs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from motlan.config.matching import Matching
from motlan.errors import DataError
from motlan.expressions import literal, one, quote
from motlan.linking import linking_rows
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.relations import Relations
from motlan.linking.scope import load_frequencies
from motlan.linking.scored_pairs import prior_log_odds
from motlan.partitioning import hash_number
from motlan.stewardship import published_links
from motlan.store.tables import PAIR
from motlan.workspace import Workspace

Pair = tuple[str, str, str, str]
"""Register and key of the left and of the right record (see `tables.PAIR`)."""


@dataclass(frozen=True)
class Weighed:
    """Pairs, loaded and weighed in an engine session.

    The session has the tables `oriented_pairs` (`number`, the pair, `n`, `other`), `given_records` (`n` and the rows' fields) and
    `weighed` (`number`, `match_weight`, and of each comparison `level_<name>`, from 0, and `weight_<name>`).
    """

    engine: duckdb.DuckDBPyConnection
    matching: Matching
    model: Model

    @property
    def prior(self) -> float:
        """The log2 odds of a pair before anything is compared."""
        return prior_log_odds(self.model.known, self.model.persons)

    def described(self) -> list[dict[str, Any]]:
        """Describe the pairs, in the order given: `fields` side by side, `waterfall`, `prior`, `match_weight`."""
        fields = self.matching.fields
        columns = ", ".join(f"{side}.{quote(field)}" for side in ("mine", "theirs") for field in fields)
        levels = ", ".join(f"{quote('level_' + name)}, {quote('weight_' + name)}" for name in self.matching.comparisons)
        found = self.engine.execute(
            f"""select match_weight, {levels}, {columns} from weighed join oriented_pairs using (number)
                join given_records as mine on mine.dataset = left_dataset and mine._key = left_key
                join given_records as theirs on theirs.dataset = right_dataset and theirs._key = right_key order by number"""
        ).fetchall()
        return [self._described(row) for row in found]

    def _described(self, row: Sequence[Any]) -> dict[str, Any]:
        start = 1 + 2 * len(self.matching.comparisons)
        mine, theirs = row[start : start + len(self.matching.fields)], row[start + len(self.matching.fields) :]
        waterfall = [
            {
                "comparison": name,
                "level": row[1 + 2 * place],
                "is": self._named(name, row[1 + 2 * place]),
                "match_weight": row[2 + 2 * place],
            }
            for place, name in enumerate(self.matching.comparisons)
        ]
        return {
            "fields": [
                {"field": field, "left": left, "right": right}
                for field, left, right in zip(self.matching.fields, mine, theirs, strict=True)
            ],
            "waterfall": waterfall,
            "prior": self.prior,
            "match_weight": row[0],
            "probability": 1 / (1 + 2 ** -(row[0] + self.prior)),
        }

    def _named(self, comparison: str, level: int | None) -> str:
        return self.matching.comparisons[comparison].levels[level].is_ if level is not None else "none of the levels"


def weigh(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    entity: str,
    pairs: Sequence[Pair],
    *,
    hide_identifiers: bool = False,
) -> Weighed:
    """Load pairs and weigh them as they stand now.

    Args:
        work: The open installation.
        engine: A session of its own.
        entity: The entity's name.
        pairs: Which.
        hide_identifiers: Leave the identifiers out, as if they were unknown.

    Raises:
        DataError: A record of them is not there any more.
    """
    matching = work.registry.entity(entity).matching
    model_id, model = published_links.released(work, entity)
    load_frequencies(work, engine, entity, model_id)
    columns = {name: pa.array([pair[place] for pair in pairs], pa.string()) for place, name in enumerate(PAIR)}
    given = pa.table({"number": pa.array(range(len(pairs)), pa.int64()), **columns})
    engine.register("given_pairs", given)
    hidden = set(matching.identifiers) if hide_identifiers else set()
    fields = ", ".join(f"{'null::varchar as ' if field in hidden else ''}{quote(field)}" for field in matching.fields)
    engine.execute(
        f"""create temp table given_records as select dataset, _key, _ref, {fields} from {published_links.facts(work, entity)}
            semi join (select left_dataset as dataset, left_key as _key from given_pairs
                       union select right_dataset, right_key from given_pairs) using (dataset, _key)"""
    )
    _orient(engine, matching)
    everything = matching.model_copy(update={"spine": []})
    relations = Relations(engine)
    linking_rows.load_values(relations, everything, "given_records")
    linking_rows.load_left(relations, everything, model, "given_records")
    parts = ", ".join(
        f"{models.level_of(matching, name)} as {quote('level_' + name)}, "
        f"{models.weight_of(matching, model, name)} as {quote('weight_' + name)}"
        for name in matching.comparisons
    )
    engine.execute(
        f"""create temp table weighed as select number, {models.weight(matching, model)} as match_weight, {parts}
            from oriented_pairs as p join left_rows as l on l.n = p.n join left_rows as r on r.n = p.other"""
    )
    if one(engine, "select count(*) from weighed")[0] != len(pairs):
        raise DataError(
            "a record of these pairs is not there any more", next_step="take other pairs: `motlan review next`."
        )
    return Weighed(engine, matching, model)


def _orient(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    """Make `oriented_pairs`: the row of the spine is compared with, as linking does it."""
    spine = ", ".join(map(literal, matching.spine)) or "null"
    swapped = f"(left_dataset in ({spine}) and right_dataset not in ({spine}))"
    left, right = (hash_number(f"{side}_dataset || '/' || {side}_key") for side in ("left", "right"))
    engine.execute(
        f"""create temp table oriented_pairs as select *, case when {swapped} then {right} else {left} end as n,
                case when {swapped} then {left} else {right} end as other from given_pairs"""
    )


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, hits / of
    middle, width = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max((middle - width) / (1 + z * z / of), 0.0), min((middle + width) / (1 + z * z / of), 1.0)
