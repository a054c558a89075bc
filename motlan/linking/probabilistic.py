"""Probabilistic linking of the rows that deterministic linking leaves: by match weight, among all candidates at once.

They are compared with the rows of the spine that meet a blocking rule. Its candidates, and that it is none of them, share one
probability, by the odds of their agreement patterns (see `motlan.linking.residual`); a person whom a row of the same dataset
has already gets less of it. Of rows of one dataset with one person the best comes first, and the others are weighed once more.
"""

from __future__ import annotations

import math

from motlan.linking import residual
from motlan.linking.relations import union
from motlan.linking.scored_pairs import (
    Context,
    find_best,
    gather_persons,
    pairs_by_blocking_rules,
    score_pairs,
)
from motlan.partitioning import make_buckets

RANKINGS = 2
"""How often the odds of patterns are learned, each time from the best pairs by what was learned before."""
PROBABLE = "probable"
"""Rule of a row that was linked by its weight."""
_KEPT = ("whole_pattern", "prior", "doubt")
_LINKS_OF_BEST = f"""
    select n, b.person, b.other as compared, '{PROBABLE}' as rule, b.match_weight, b.probability, null::int as bucket
    from {{best}} as b join {{unlinked}} as u using (n) where b.probability >= {{threshold}} and b.doubt = ''"""


def find_candidates(context: Context, unlinked: str, spine: str, doubted: str | None) -> None:
    """Make `candidate_persons` and `identifier_status` of the rows of `unlinked`, and `scored_residual`.

    Args:
        context: The linking.
        unlinked: Relation of the rows that are linked to nobody.
        spine: Relation of the rows that they are compared with.
        doubted: Relation (`n`, `person`, `doubt`) of pairs that are for people; None for none.
    """
    score_pairs(context, "residual", pairs_by_blocking_rules(context.matching, unlinked, spine), unlinked, spine)
    gather_persons(context, "residual")
    residual.find_identifier_status(context, unlinked, spine)
    residual.find_patterns(context, "persons_residual", unlinked, spine, doubted)


def find_already_linked(context: Context, links: list[str]) -> None:
    """Make `already_linked` (`dataset`, `person` of `candidate_persons`) and `already_linked_counts` (`dataset`, `persons`)."""
    relations = context.relations
    all_links = relations.show("links_so_far", union(links))
    parts = make_buckets(relations.fetch_one(f"select count(*) from {all_links}")[0])
    names = ("already_linked", "already_linked_counts")
    for place, part in enumerate(parts):
        with relations.scope(keep=[f"{name}_{place}" for name in names]):
            persons = relations.make(
                f"linked_persons_{place}",
                f"""select distinct l.dataset, made.person
                    from (from {all_links} where {part("person")}) as made join left_rows as l using (n)""",
            )
            # Columns by name: engines order those of a join by `using` differently.
            known = f"select dataset, person from {persons} semi join candidate_persons using (person)"
            relations.make(f"already_linked_{place}", known)
            relations.make(
                f"already_linked_counts_{place}",
                f"select dataset, count(*) as persons from {persons} group by all",
            )
    for name in names:
        relations.show(name, union(f"{name}_{place}" for place in range(len(parts))))


def calibrate(context: Context, unlinked: str, links: list[str]) -> None:
    """Complete the model by what this data shows: how probable each agreement pattern is, and from where on to link."""
    if not context.matching.spine:
        return
    residual.learn_shares(context)
    relations, patterns = context.relations, residual.Patterns(context.matching, context.model)
    totals = relations.fetch(
        f"""select dataset || ' ' || identifier_status, count(*) from identifier_status join {unlinked} using (n)
            group by all order by all"""
    )
    best = _rank(context, "calibration_0", patterns, "candidate_persons", "already_linked")
    for ranking in range(1, RANKINGS + 1):
        seen = relations.fetch(
            f"""select whole_pattern, round(2 * (log2(all_odds) - prior), 0) / 2 as other_log_odds, count(*) from {best}
                where all_odds > 0 group by all order by all"""
        )
        odds, known = patterns.learn(seen, dict(totals))
        context.model = context.model.model_copy(update={"residual_odds": odds, "residual_known": known})
        best = _rank(context, f"calibration_{ranking}", patterns, "candidate_persons", "already_linked")
    threshold = _find_threshold(context, best, union(links))
    context.model = context.model.model_copy(update={"link_threshold": threshold})


def _rank(context: Context, name: str, patterns: residual.Patterns, candidates: str, already_linked: str) -> str:
    """Make `best_<name>`, by the agreement patterns; return its name."""
    find_best(context, name, residual.with_log_odds(context, name, patterns, candidates, already_linked), _KEPT)
    return f"best_{name}"


def _find_threshold(context: Context, best: str, links: str) -> float:
    """Find the least probability at which the expected share of wrong links stays in the wanted limit."""
    errors = context.matching.errors
    made, wrong = context.relations.fetch_one(f"select count(*), coalesce(sum(1 - probability), 0) from ({links})")
    (found,) = context.relations.fetch_one(
        f"""select min(probability) from (
                select probability, {wrong} + sum(1 - probability) over up as wrong, {made} + count(*) over up as made
                from {best} where doubt = '' window up as (order by probability desc))
            where wrong <= {errors.max_false_link_rate} * made"""
    )
    return max(math.floor((found if found is not None else 0.999) * 1e6) / 1e6, 1 - errors.max_link_error)


def link_probable(context: Context, unlinked: str) -> None:
    """Link rows to their best person: `links_probable`, `unlinked_probable`, and `reviews_residual` of unsure ones."""
    relations, threshold = context.relations, context.model.link_threshold
    patterns = residual.Patterns(context.matching, context.model)
    best = _rank(context, "first_round", patterns, "candidate_persons", "already_linked")
    links = _LINKS_OF_BEST.format(best=best, unlinked=unlinked, threshold=threshold)
    first = "qualify row_number() over (partition by u.dataset, b.person order by b.probability desc, n) = 1"
    relations.make("links_probable_1", f"{links} {first}")
    relations.make(
        "already_linked_now",
        f"""select dataset, person from already_linked union all
            select dataset, person from (
                select distinct u.dataset, made.person from links_probable_1 as made join {unlinked} as u using (n)) as linked_now
            anti join already_linked using (dataset, person)""",
    )
    relations.make("candidate_persons_left", "from candidate_persons anti join links_probable_1 using (n)")
    best = _rank(context, "second_round", patterns, "candidate_persons_left", "already_linked_now")
    relations.make("links_probable_2", _LINKS_OF_BEST.format(best=best, unlinked=unlinked, threshold=threshold))
    relations.show("links_probable", union(("links_probable_1", "links_probable_2")))
    relations.make(
        "reviews_residual",
        f"""select n, other, match_weight, probability, nullif(doubt, '') as reason
            from {best} anti join links_probable_2 using (n) where probability >= {context.model.review_threshold}""",
    )
    relations.make("unlinked_probable", f"from {unlinked} anti join links_probable using (n)")
