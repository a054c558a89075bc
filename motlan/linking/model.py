"""The model of linking: m, u and priors (Fellegi and Sunter 1969), and the SQL of a pair's weight under it.

A match weight is a sum of log2(m / u) over the comparisons. A level with a term frequency adjustment counts by the frequency of
the value itself (Winkler 1989): sharing a frequent name is weak evidence. A model is frozen and stored as a version; so are the
frequencies, by its id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from motlan.config.matching import Matching, sql
from motlan.expressions import DUCKDB, Expression, literal, parse, quote

LARGEST = 2**63 - 1
"""The lake's largest whole number."""
RESIDUAL_KNOWN = 0.3
"""Share of rows left by deterministic linking whose person is on the spine, until the data show it."""


STARTED: Any = {"learned_from": True, "levels": {"__all__": {"m", "u"}}}
"""What of a declared comparison only starts a model: a version pins the rest, and the model."""


class Model(BaseModel):
    """A frozen model.

    Attributes:
        m: Comparison -> how often two rows of one person are on each level; 0 for a level that says nothing.
        u: The same of two rows of different persons.
        borrowed: u of rows of different persons that bear the same identifier: they often share a household.
        given: u of rows of different persons where a comparison's `given` holds.
        collision: Comparison with a frequency -> how often two random rows share its value.
        persons: Rows of the spine: how many candidates a row has before anything is compared.
        known: Share of rows whose person is on the spine.
        residual_known: The same of rows that deterministic linking leaves, by their status of each identifier: 0 none, 1 one
            that nobody on the spine has (so its person may be unknown), 2 one that the spine has (so it is somebody else's).
        lacking: Identifier -> share of the spine's rows that have none.
        already_linked: Dataset -> share of the spine's rows whose person a row of it is linked to before residual linking.
        provisional_rows: Rows that belonged to nobody on the spine: how many candidates one of them has among the others.
        residual_odds: Agreement pattern of a pair of such rows (see `motlan.linking.residual`) -> its log2 odds where nothing
            else speaks.
        link_threshold: A pair of probabilistic linking at least this probable is linked.
        review_threshold: One at least this probable goes to clerical review.
        pairs: Pairs that it was learned from; 0 where it is as declared.
    """

    model_config = ConfigDict(frozen=True)

    m: dict[str, list[float]]
    u: dict[str, list[float]]
    borrowed: dict[str, list[float]] = {}
    given: dict[str, list[float]] = {}
    collision: dict[str, float] = {}
    persons: int = 1
    known: float = 0.95
    residual_known: dict[str, float] = {}
    lacking: dict[str, float] = {}
    already_linked: dict[str, float] = {}
    provisional_rows: int = 0
    residual_odds: dict[str, float] = {}
    link_threshold: float = 0.99
    review_threshold: float = 0.02
    pairs: int = 0

    def weights(self, comparison: str, *, borrowed: bool = False, given: bool = False) -> list[float]:
        """Return log2(m / u) of each level of a comparison, 0 where it says nothing.

        Args:
            comparison: Its name.
            borrowed: Of rows that bear the same identifier.
            given: Of rows where the comparison's `given` holds.
        """
        apart = self.borrowed if borrowed else self.given if given else {}
        pairs = zip(self.m[comparison], apart.get(comparison, self.u[comparison]), strict=True)
        return [round(math.log2(m / u), 6) if m and u else 0.0 for m, u in pairs]


def declared(matching: Matching) -> Model:
    """Return the model as the declaration starts it."""
    m = {name: [level.m or 0.0 for level in c.levels] for name, c in matching.comparisons.items()}
    u = {name: [level.u or 0.0 for level in c.levels] for name, c in matching.comparisons.items()}
    return Model(m=m, u=u, review_threshold=matching.errors.review_error)


def sides(expression: Expression) -> dict[str, str]:
    """Map `left_<field>` and `right_<field>` to columns of the aliases `l` and `r`."""
    return {
        name: f"l.{quote(name[5:])}" if name.startswith("left_") else f"r.{quote(name[6:])}"
        for name in expression.fields
    }


def condition(text: str) -> str:
    """Return the SQL of a level's condition over the aliases `l` and `r`."""
    expression = parse(text, where="matching.yaml, comparisons")
    return expression.sql(DUCKDB, sides(expression))


def rarity(comparison: str) -> str:
    """Name the column that holds how much more (or less) than usual a row's value says, in bits."""
    return f"rare_{comparison}"


def counted(matching: Matching) -> list[str]:
    """Return the comparisons in which the frequency of a value counts."""
    return [name for name, comparison in matching.comparisons.items() if comparison.frequency]


def level_of(matching: Matching, comparison: str) -> str:
    """Return the SQL of the number of a comparison's level, from 0."""
    levels = matching.comparisons[comparison].levels
    cases = " ".join(f"when {condition(level.when)} then {number}" for number, level in enumerate(levels))
    return f"(case {cases} end)"


def weight_of(matching: Matching, model: Model, comparison: str, *, same: bool = False) -> str:
    """Return the SQL of a comparison's weight, of pairs that are known to bear the `same` identifier or of any."""
    cases = ""
    compared = matching.comparisons[comparison]
    weights = [model.weights(comparison, **which) for which in ({}, {"borrowed": True}, {"given": True})]
    for level, usual, borrowed, given in zip(compared.levels, *weights, strict=True):
        term = f"{usual}::double"
        if usual != given:
            term = f"if(coalesce({condition(str(compared.given))}, false), {given}, {usual})::double"
        if comparison in model.borrowed and usual != borrowed:
            term = f"{borrowed}::double" if same else f"if({same_identifier(matching)}, {borrowed}, {term})::double"
        adjusted = level.term_frequency_adjustment and comparison in model.collision
        rare = f" + l.{quote(rarity(comparison))}" if adjusted else ""
        cases += f" when {condition(level.when)} then {term}{rare}"
    return f"(case{cases} else 0 end)"


def same_identifier(matching: Matching) -> str:
    """Return the SQL of whether `l` and `r` bear the same identifier."""
    same = " or ".join(f"l.{quote(name)} = r.{quote(name)}" for name in matching.identifiers)
    return f"coalesce({same or 'false'}, false)"


def doubt(matching: Matching) -> str:
    """Return the SQL of which of the declared doubts there is of `l` and `r`, so that people decide; an empty text for none."""
    if not matching.doubts:
        return "''"
    cases = " ".join(f"when {condition(text)} then {literal(name)}" for name, text in matching.doubts.items())
    return f"(case when {same_identifier(matching)} then '' {cases} else '' end)"


def weight(matching: Matching, model: Model, *, same: bool = False) -> str:
    """Return the SQL of the weight of `l` and `r`; `l` has the columns of `rarity`."""
    return " + ".join(weight_of(matching, model, name, same=same) for name in matching.comparisons)


def rarities(matching: Matching, model: Model, frequencies: str, alias: str) -> tuple[str, str]:
    """Return the SQL of the columns of `rarity` for the rows of `alias`, and of the joins that they need.

    A value that is in no frequency was seen once at most.

    Args:
        matching: The declaration.
        model: The model.
        frequencies: Relation with `comparison`, `value`, `share`.
        alias: Alias of the rows.
    """
    columns, joins = [], ""
    for name in counted(matching):
        usual = model.collision.get(name)
        if usual is None:
            columns.append(f"0::double as {quote(rarity(name))}")
            continue
        share, value = quote(f"share_{name}"), f"{alias}.{quote(str(matching.comparisons[name].frequency))}"
        joins += (
            f" left join (select value, share as {share} from {frequencies} where comparison = {literal(name)})"
            f" as {quote('f_' + name)} on {quote('f_' + name)}.value = {value}"
        )
        columns.append(
            # Rounded, for the last digits of a logarithm are an engine's own.
            f"round(log2({usual} / coalesce({share}, {1 / max(model.persons, 1)}))::double, 6) as {quote(rarity(name))}"
        )
    return ", ".join(columns), joins


def body(matching: Matching, model: Model) -> Mapping[str, Any]:
    """Return what a version of the linking decisions must pin: SQL over the relations `facts` and `frequencies`."""
    columns, joins = rarities(matching, model, "frequencies", "d")
    derived = dict(zip(matching.steps, sql(matching.steps.values(), "facts", matching.derived), strict=True))
    return {
        "match_weight": weight(matching, model),
        "rarity": columns,
        "rarity_joins": joins,
        "derived": derived,
        "exact": "exact_key",
        "exact_key": exact_key(matching, "d"),
        "identifiers": list(matching.identifiers),
        "spine": list(matching.spine),
        "blocking_rules": [[list(left), list(right)] for left, right in matching.keys],
        "histories": list(matching.histories),
        "doubts": dict(matching.doubts),
        "comparisons": {
            name: comparison.model_dump(mode="json", by_alias=True, exclude=STARTED)
            for name, comparison in matching.comparisons.items()
        },
        "deterministic_threshold": 1 - matching.errors.deterministic_error,
        "link_threshold": model.link_threshold,
        "model": model.model_dump(),
    }


def exact_key(matching: Matching, alias: str) -> str:
    """Return the SQL of a row's exact key: a hash of all its parts, or null where one is missing or `exact_when` fails."""
    if not matching.exact:
        return "null::bigint"
    parts, allowed = sql(matching.exact, alias), sql([matching.exact_when], alias)[0]
    known = " and ".join(f"({part}) is not null" for part in parts)
    return f"(case when {allowed} and {known} then (abs(hash({', '.join(parts)})) % {LARGEST})::bigint end)"
