"""Record pairs with their match weights, and how probable each row's candidates are: what every stage of linking does with pairs.

A stage gives its pairs a name. From it come the relations `record_pairs_<name>` (`n`, `other`), `scored_<name>` (those that were
weighed now), `candidates_<name>` (all, with `match_weight`), `persons_<name>` (each row's candidates, as persons) and
`best_<name>` (the most probable of them).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from motlan.config.matching import Matching, sql
from motlan.expressions import quote
from motlan.linking import model as models
from motlan.linking.linking_rows import conditions
from motlan.linking.model import Model
from motlan.linking.relations import Relations

Key = tuple[Sequence[str], Sequence[str]]
LINK_COLUMNS = "n, person, compared, rule, match_weight, probability, bucket"
"""Columns of a stage's links. `compared` is the row that the link rests on, `bucket` that of both where they share one."""
DIGITS = 9
"""Decimal places of a probability among rivals: further ones depend on the order in which an engine adds up."""
NO_LINKS = (
    "select null::bigint as n, null::bigint as person, null::bigint as compared, null::varchar as rule, "
    "null::double as match_weight, null::double as probability, null::int as bucket where false"
)


@dataclass
class Context:
    """What the stages of one linking share.

    Attributes:
        relations: The relations that they make.
        matching: The declaration.
        model: The model; calibration completes it.
        buckets: How many buckets the rows have that are kept outside of memory; 0 of tables in memory.
        remembered: Whether the relation `remembered` holds pairs that were weighed before under this model.
        decisions: Relation of what people decided (`n`, `other`, `same`): these pairs are not weighed. None for none.
        former_persons: Relation of former rows with their `record`: a decision on the record is one on them. None for none.
        persons_of_rows: Relation (`n`, `person`) of rows that stand for a person whom another row founds.
    """

    relations: Relations
    matching: Matching
    model: Model
    buckets: int = 0
    remembered: bool = False
    decisions: str | None = None
    former_persons: str | None = None
    persons_of_rows: str = "duplicates"

    @cached_property
    def weight(self) -> str:
        """The SQL of the match weight of rows `l` and `r`."""
        return models.weight(self.matching, self.model)

    @property
    def versions(self) -> str:
        """The SQL of the columns of a scored pair with the versions of rows that are kept."""
        return ", l.version as row_version, r.version as other_version" if self.buckets else ""

    def conditions(self, identifier: str, relation: str) -> list[str]:
        """Return conditions that part a relation's rows so that those with one value of an identifier are together."""
        rows = self.relations.fetch_one(f"select count(*) from {relation}")[0]
        return conditions(self.matching, identifier, rows, self.buckets)


def prior_log_odds(known: float, persons: int) -> float:
    """Return the log2 odds of a pair before anything is compared.

    Args:
        known: Share of rows whose person is on the spine.
        persons: How many persons it has.
    """
    return math.log2(known / (1 - known) / max(persons, 1))


def probability_without_rivals(known: float, persons: int) -> str:
    """Return the SQL of the probability of a pair, by its `match_weight`, where its row has no other candidate."""
    return f"(1 / (1 + pow(2, -(match_weight + {prior_log_odds(known, persons)}))))"


def pairs_by_blocking_rules(matching: Matching, left: str, right: str, where: str = "true") -> str:
    """Return the SQL of the record pairs (`n`, `other`) of two relations that share an identifier or meet a blocking rule."""
    return pairs_by_keys([*(((name,), (name,)) for name in matching.identifiers), *matching.keys], left, right, where)


def pairs_by_keys(keys: Iterable[Key], left: str, right: str, where: str = "true") -> str:
    """Return the SQL of the record pairs (`n`, `other`) of two relations that share a key: its expressions, of either side."""
    parts = []
    for mine, theirs in keys:
        on = " and ".join(f"{a} = {b}" for a, b in zip(sql(mine, "l"), sql(theirs, "r"), strict=True))
        parts.append(f"select l.n, r.n as other from {left} as l join {right} as r on {on} where {where}")
    return " union ".join(parts)


def score_pairs(context: Context, name: str, pairs: str, left: str, right: str) -> None:
    """Weigh record pairs, those that are remembered left out; decided ones are no candidates.

    Args:
        context: The linking.
        name: Of the pairs: leaves `scored_<name>` and `candidates_<name>`.
        pairs: SQL of the pairs (`n`, `other`).
        left: Relation of the rows `n`, with rarities.
        right: Relation of the rows `other`.
    """
    relations, record_pairs = context.relations, f"record_pairs_{name}"
    relations.make(record_pairs, f"select * from ({pairs}) as pairs{_undecided(context)}")
    new = f"(from {record_pairs} anti join remembered using (n, other))" if context.remembered else record_pairs
    relations.make(
        f"scored_{name}",
        f"""select l.n, r.n as other, {context.weight} as match_weight{context.versions}
            from {new} as pairs join {left} as l on l.n = pairs.n join {right} as r on r.n = pairs.other""",
    )
    _show_candidates(context, name)


def score_joined(context: Context, name: str, left: str, right: str, on: str, *, same: bool) -> None:
    """Weigh the pairs of two relations that a condition joins, in one pass where nothing is remembered or decided.

    Args:
        context: The linking.
        name: As `score_pairs` takes it.
        left: Relation of the rows `n`, with rarities.
        right: Relation of the rows `other`.
        on: The condition, over `l` and `r`.
        same: Whether it says that they bear the same identifier.
    """
    if context.remembered or context.decisions:
        score_pairs(context, name, f"select l.n, r.n as other from {left} as l join {right} as r on {on}", left, right)
        return
    weight = models.weight(context.matching, context.model, same=same)
    context.relations.make(
        f"scored_{name}",
        f"""select l.n, r.n as other, {weight} as match_weight{context.versions}
            from {left} as l join {right} as r on {on}""",
    )
    _show_candidates(context, name)


def _show_candidates(context: Context, name: str) -> None:
    scored = f"select n, other, match_weight from scored_{name}"
    if not context.remembered:
        context.relations.show(f"candidates_{name}", scored)
        return
    known = f"select n, other, match_weight from record_pairs_{name} join remembered using (n, other)"
    context.relations.make(f"candidates_{name}", f"{known} union all {scored}")


def _undecided(context: Context) -> str:
    """Return the SQL that leaves out pairs on which people decided, in either order."""
    if not context.decisions:
        return ""
    both = f"select n, other from {context.decisions} union select other as n, n as other from {context.decisions}"
    found = f" anti join ({both}) as decided using (n, other)"
    if context.former_persons:
        found += f""" anti join (select decided.n, former.n as other from ({both}) as decided
            join {context.former_persons} as former on former.record = decided.other) as decided_before using (n, other)"""
    return found


def gather_persons(context: Context, name: str) -> None:
    """Make `persons_<name>` of `candidates_<name>`: of each row every person with its best row, `sole` if there is but one.

    Most rows have one candidate: they need no more than a count.
    """
    relations, candidates = context.relations, f"candidates_{name}"
    with relations.scope(keep=[f"persons_{name}"]):
        counts = relations.make(
            f"candidate_counts_{name}",
            f"""select n, count(*) as many, any_value(other) as other, any_value(match_weight) as match_weight
                from {candidates} group by n""",
        )
        relations.make(
            f"persons_{name}",
            f"""with best as (
                    select c.n, coalesce(p.person, c.other) as person, max(c.match_weight) as match_weight,
                           arg_max(c.other, (c.match_weight, c.other)) as other
                    from {candidates} as c semi join (select n from {counts} where many > 1) using (n)
                    left join {context.persons_of_rows} as p on p.n = c.other group by all)
                select c.n, coalesce(p.person, other) as person, c.match_weight, other, true as sole
                from {counts} as c left join {context.persons_of_rows} as p on p.n = other where many = 1
                union all by name select *, false as sole from best""",
        )


def find_best(context: Context, name: str, candidates: str, also: Sequence[str] = ()) -> None:
    """Make `best_<name>`: the best person of each row, with its `probability` among all its candidates and that it is none.

    Args:
        context: The linking.
        name: Of the relation.
        candidates: SQL of rows with their persons, and the `log_odds` of each person against none.
        also: Columns of the best candidate that are kept too.
    """
    kept = ("person", "other", "match_weight", *also)
    chosen = ", ".join(f"arg_max({column}, (odds, person)) as {column}" for column in kept)
    context.relations.make(
        f"best_{name}",
        f"""with rivals as (select *, pow(2, log_odds) as odds from ({candidates}))
            select n, {", ".join(kept)}, round(odds / (1 + odds), {DIGITS}) as probability, odds as all_odds
            from rivals where sole
            union all by name
            select n, {chosen}, round(max(odds) / (1 + sum(odds)), {DIGITS}) as probability, sum(odds) as all_odds
            from rivals where not sole group by n""",
    )


def find_best_by_weight(context: Context, name: str) -> None:
    """Make `best_<name>` of `candidates_<name>`, by the match weights and the prior of all rows."""
    gather_persons(context, name)
    prior = prior_log_odds(context.model.known, context.model.persons)
    find_best(context, name, f"select *, match_weight + {prior} as log_odds from persons_{name}")


def no_rarities(matching: Matching) -> str:
    """Return the SQL of the rarities of rows that have none: their values count as usual."""
    return "".join(f", 0::double as {quote(models.rarity(name))}" for name in models.counted(matching))
