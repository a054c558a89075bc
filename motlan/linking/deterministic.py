"""Deterministic linking: by a decision of people, by an identifier, or by an exact key that is unique on both sides.

What agrees in an identifier or in its exact key is weighed all the same: it is linked where all comparisons together leave an
error less probable than `errors.deterministic_error`. What is not goes on to probabilistic linking.
"""

from __future__ import annotations

from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.relations import union
from motlan.linking.scored_pairs import (
    LINK_COLUMNS,
    Context,
    find_best_by_weight,
    no_rarities,
    probability_without_rivals,
    score_joined,
    score_pairs,
)

DECIDED = "decided"
"""Rule of a row that is its person by decision of people."""


def least_probability(context: Context) -> float:
    """Return the probability from which a pair is linked at once."""
    return 1 - context.matching.errors.deterministic_error


def find_duplicates(context: Context, found: str) -> None:
    """Find rows of the spine that share the first identifier with another and agree with it: the least of a group founds it.

    Args:
        context: The linking.
        found: Name of the relation that is made: `n`, `person`, `match_weight`, `probability`. Makes `scored_duplicates` too.
    """
    identifier = context.matching.identifiers[0]
    column = quote(identifier)
    parts = (f"(from spine_rows where {some})" for some in context.conditions(identifier, "spine_rows"))
    shared = context.relations.make_in_parts(
        "spine_rows_sharing_identifier",
        (
            f"""with shared as (select {column}, min(n) as person from {rows} where {column} is not null
                                group by all having count(*) > 1)
                select s.*{no_rarities(context.matching)}, shared.person from {rows} as s join shared using ({column})"""
            for rows in parts
        ),
    )
    score_pairs(context, "duplicates", f"select n, person as other from {shared} where n != person", shared, shared)
    probability = probability_without_rivals(context.model.known, context.model.persons)
    context.relations.make(
        found,
        f"""select n, other as person, match_weight, {probability} as probability from candidates_duplicates
            where {probability} >= {least_probability(context)}""",
    )


def link_decided(context: Context, unlinked: str) -> None:
    """Link what people decided to be one person, before the machine has a say: `links_decided`, `unlinked_decided`."""
    context.relations.make(
        "links_decided",
        f"""select w.n, coalesce(d.person, s.n) as person, s.n as compared, {literal(DECIDED)} as rule,
                   null::double as match_weight, 1::double as probability, null::int as bucket
            from decided_persons as decided join {unlinked} as w on w.n = decided.n
            join spine_rows as s on s.n = decided.other left join duplicates as d on d.n = s.n""",
    )
    context.relations.make("unlinked_decided", f"from {unlinked} anti join links_decided using (n)")


def link_by_identifier(context: Context, identifier: str, unlinked: str) -> None:
    """Link the rows of `unlinked` that share an identifier with a person of the spine.

    Makes `links_identifier_<identifier>`, and `unlinked_` and `scored_` likewise, in parts where there are many rows.
    """
    name, column, relations = f"identifier_{identifier}", quote(identifier), context.relations
    in_buckets = context.buckets and identifier == context.matching.identifiers[0]
    parts = []
    for place, some in enumerate(context.conditions(identifier, unlinked)):
        part = f"{name}_{place}"
        parts.append(part)
        rows, spine = (f"(from {relation} where {some})" for relation in (unlinked, "spine_rows"))
        with relations.scope(keep=[f"{what}_{part}" for what in ("links", "unlinked", "scored")]):
            score_joined(context, part, rows, spine, f"l.{column} = r.{column}", same=True)
            _link(context, part, f"identifier {identifier}", rows, bucket=str(place) if in_buckets else "null")
    for what in ("links", "unlinked", "scored"):
        relations.show(f"{what}_{name}", union(f"{what}_{part}" for part in parts))


def link_by_exact_key(context: Context, excluded: str | None, unlinked: str) -> None:
    """Link rows whose exact key nobody else has, on either side: `links_exact`, `unlinked_exact`, `scored_exact`.

    Args:
        context: The linking.
        excluded: Relation with the `n` of rows that are left out; None for none.
        unlinked: Relation of the rows that are linked to nobody.
    """
    keys = context.relations.make(
        "unique_exact_keys",
        f"""with keys as (
                select distinct exact_key from (
                    select exact_key from {unlinked} where exact_key is not null
                    group by exact_key, dataset having count(*) = 1))
            select exact_key from spine_rows semi join keys using (exact_key) group by exact_key having count(*) = 1""",
    )
    among = f"{unlinked} anti join {excluded} using (n)" if excluded else unlinked
    rows = (
        f"(select * from {among} semi join {keys} using (exact_key) "
        "qualify count(*) over (partition by exact_key, dataset) = 1)"
    )
    on = f"l.exact_key = r.exact_key and {models.doubt(context.matching)} = ''"
    score_joined(context, "exact", rows, "spine_rows", on, same=False)
    _link(context, "exact", "exact", unlinked)


def _link(context: Context, name: str, rule: str, rows: str, bucket: str = "null") -> None:
    """Link the rows of `candidates_<name>` to their best person where that is probable enough; the other `rows` stay unlinked."""
    find_best_by_weight(context, name)
    context.relations.make(
        f"links_{name}",
        f"""select {LINK_COLUMNS} from (
                select n, person, other as compared, {literal(rule)} as rule, match_weight, probability, {bucket}::int as bucket
                from best_{name} where probability >= {least_probability(context)})""",
    )
    context.relations.make(f"unlinked_{name}", f"from {rows} anti join links_{name} using (n)")
