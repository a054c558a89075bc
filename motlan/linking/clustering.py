"""Clustering: rows that belong to nobody on the spine, grouped among themselves; who is with nobody is a singleton.

They are compared by the same blocking rules and weights. Rows that are connected by pairs that are probable enough are one
cluster, whose least row founds the person.
"""

from __future__ import annotations

from motlan.linking import model as models
from motlan.linking.deterministic import DECIDED
from motlan.linking.model import RESIDUAL_KNOWN
from motlan.linking.relations import Relations
from motlan.linking.scored_pairs import Context, pairs_by_blocking_rules, probability_without_rivals, score_pairs

PROVISIONAL = "provisional"
"""Rule of a row that is with others whom nobody on the spine is."""
UNWEIGHED = 1000
"""A pair that people decided goes before any that was weighed."""


def cluster_rows(context: Context, unlinked: str, reviews: str) -> None:
    """Cluster the rows of `unlinked`: makes `cluster_edges`, `links_clusters`, `reviews_clusters` and `scored_clusters`.

    Args:
        context: The linking.
        unlinked: Relation of the rows that are linked to nobody.
        reviews: Relation with the `n` of rows that have a review already.
    """
    if not context.model.provisional_rows:
        rows = context.relations.fetch_one(f"select count(*) from {unlinked}")[0]
        context.model = context.model.model_copy(update={"provisional_rows": max(rows, 1)})
    pairs = pairs_by_blocking_rules(context.matching, unlinked, unlinked, "l.n < r.n")
    score_pairs(context, "clusters", pairs, unlinked, unlinked)
    known = RESIDUAL_KNOWN if context.matching.spine else context.model.known
    probability = probability_without_rivals(known, context.model.provisional_rows)
    _find_edges(context, unlinked, probability)
    edges = context.relations.make(
        "edges_both_ways",
        """from cluster_edges union all by name
           select other as n, n as other, match_weight, probability from cluster_edges""",
    )
    labels = connect(context.relations, edges)
    _link(context, edges, labels)
    _find_reviews(context, unlinked, labels, reviews, probability)


def _find_edges(context: Context, unlinked: str, probability: str) -> None:
    """Make `cluster_edges` (`n`, `other`, `match_weight`, `probability`): pairs of one person, by weight or by decision."""
    decided = "select null::bigint as n, null::bigint as other where false"
    if context.decisions:
        decided = f"select n, other from {context.decisions} where same"
    context.relations.make(
        "cluster_edges",
        f"""select c.n, c.other, c.match_weight, c.probability
            from (select *, {probability} as probability from candidates_clusters
                  where {probability} >= {context.model.link_threshold}) as c
            join {unlinked} as l on l.n = c.n join {unlinked} as r on r.n = c.other
            where {models.doubt(context.matching)} = ''
            union all
            select n, other, null::double as match_weight, 1::double as probability from ({decided}) as decided
            semi join {unlinked} using (n) semi join (select n as other from {unlinked}) as others using (other)""",
    )


def connect(relations: Relations, edges: str) -> str:
    """Label the rows of a graph by the least row that each is connected to.

    Args:
        relations: The relations.
        edges: Relation of its edges, each in both directions: `n`, `other`.

    Returns:
        The relation `n`, `person`. Each round, a row takes the least label of its neighbours; it ends when none changes.
    """
    rounds = 0
    labels = relations.make("cluster_labels_0", f"select n, least(n, min(other)) as person from {edges} group by n")
    while True:
        rounds += 1
        next_labels = relations.make(
            f"cluster_labels_{rounds}",
            f"""select e.n, least(any_value(mine.person), min(theirs.person)) as person
                from {edges} as e join {labels} as mine on mine.n = e.n join {labels} as theirs on theirs.n = e.other
                group by e.n""",
        )
        (changed,) = relations.fetch_one(
            f"select count(*) from {next_labels} as now join {labels} as was using (n) where now.person != was.person"
        )
        relations.drop(labels)
        if not changed:
            return next_labels
        labels = next_labels


def _link(context: Context, edges: str, labels: str) -> None:
    """Make `links_clusters`: each row but the founder, with its person and the row that it is most surely one with."""
    context.relations.make(
        "links_clusters",
        f"""with best as (
                select n, arg_max(other, (coalesce(match_weight, {UNWEIGHED}), other)) as other,
                       max(match_weight) as match_weight, max(probability) as probability
                from {edges} group by n)
            select best.n, labels.person, best.other as compared,
                   if(best.match_weight is null, '{DECIDED}', '{PROVISIONAL}') as rule,
                   best.match_weight, best.probability, null::int as bucket
            from best join {labels} as labels using (n) where best.n != labels.person""",
    )


def _find_reviews(context: Context, unlinked: str, labels: str, reviews: str, probability: str) -> None:
    """Make `reviews_clusters`: of each row the best pair that is not probable enough, or is doubted."""
    context.relations.make(
        "reviews_clusters",
        f"""with unsure as (
                select c.n, other, match_weight, {probability} as probability from candidates_clusters as c
                left join {labels} as mine on mine.n = c.n left join {labels} as theirs on theirs.n = c.other
                where {probability} >= {context.model.review_threshold}
                  and coalesce(mine.person, c.n) != coalesce(theirs.person, other)
                  and c.n not in (select n from {reviews})
                qualify row_number() over (partition by c.n order by match_weight desc, other) = 1)
            select unsure.n, unsure.other, unsure.match_weight, unsure.probability,
                   nullif({models.doubt(context.matching)}, '') as reason
            from unsure join {unlinked} as l on l.n = unsure.n join {unlinked} as r on r.n = unsure.other""",
    )
