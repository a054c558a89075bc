"""Earlier rows of the spine's records: by which of them a record is known still, and whose rows bear their numbers.

A register that corrects a person's number gives the record another one (see `motlan.identifier_history`); one that keys its
records by the number ends a record and begins another. What bears the old number is compared with the record as it was. Three
things must hold: the record is about the same person still, or the one that came after it surely is; nobody else on the spine
bears the number now; and of what tells people apart (names, birth dates), nothing speaks against both the record as it was and
as it is.
"""

from __future__ import annotations

import math

from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.deterministic import least_probability
from motlan.linking.scored_pairs import (
    LINK_COLUMNS,
    Context,
    find_best_by_weight,
    no_rarities,
    pairs_by_keys,
    prior_log_odds,
    score_pairs,
)

FORMER_NUMBER = "former_number"
"""Why a pair is left to people whose row bears a number that the record bore before, where that is not sure enough."""
CONTINUES = 0.95
"""How often a record that was given another number is about the same person still, before anything is compared."""


def follow(context: Context, columns: str, arrived: str | None = None) -> None:
    """Find by which of `earlier_rows` a record of the spine is known still.

    Makes `former_rows`, the earlier rows with the record that they are of now;
    `former_persons` (`n`, `record`, `person`, `holds`);
    `standing_rows`, the rows that stand of these records; `persons_of_rows`, the person of each and of `duplicates`; and
    `known_rows`, the rows that hold beside those of the spine.

    Args:
        context: The linking.
        columns: The columns of `known_rows`, as SQL.
        arrived: Relation (`n`, `_ref`) of every accepted row of the spine; None where that is not known.
    """
    matching, relations = context.matching, context.relations
    _find_successors(context, arrived)
    relations.make("standing_rows", "from spine_rows semi join (select record as n from former_rows) using (n)")
    taken = " union ".join(
        f"""select was.n from former_rows as was
            join standing_rows as now on now.n = was.record and was.{name} is distinct from now.{name}
            join spine_rows as other on other.{name} = was.{name} left join duplicates as d on d.n = other.n
            left join duplicates as own on own.n = was.record
            where coalesce(d.person, other.n) != coalesce(own.person, was.record)"""
        for name in map(quote, matching.followed)
    )
    probability = _probability(_weight(context), CONTINUES)
    relations.make(
        "former_persons",
        f"""select l.n, l.record, coalesce(d.person, l.record) as person,
                   taken.n is null and doubtful.n is null and {probability} >= {least_probability(context)} as holds
            from (select *{no_rarities(matching)} from former_rows) as l join standing_rows as r on r.n = l.record
            left join duplicates as d on d.n = l.record left join ({taken}) as taken on taken.n = l.n
            left join doubtful_former_rows as doubtful on doubtful.n = l.n""",
    )
    relations.make("persons_of_rows", "select n, person from duplicates union all select n, person from former_persons")
    relations.show(
        "known_rows",
        f"""select {columns} from spine_rows union all
            select {columns} from former_rows semi join (select n from former_persons where holds) using (n)""",
    )


def _weight(context: Context) -> str:
    """Return the SQL of what all that does not rest on a number says of `l` and `r`."""
    matching = context.matching
    names = [name for name in matching.comparisons if not matching.rests_on(name) & {*matching.followed}]
    return " + ".join(models.weight_of(matching, context.model, name) for name in names) or "0"


def _probability(weight: str, known: float) -> str:
    return f"1 / (1 + pow(2, -({weight} + {math.log2(known / (1 - known))})))"


def _find_successors(context: Context, arrived: str | None) -> None:
    """Make `former_rows`: those of records that are gone are of the record that came after them, where one probably did.

    It agrees with the one that is gone in all that is no number, and came when that was not sent any more. `doubtful_former_rows`
    (`n`) are the rows of which that is not sure; rows of records that nobody came after are left out.
    """
    relations, matching = context.relations, context.matching
    if not relations.fetch_one("select count(*) from earlier_rows where gone")[0]:
        relations.show("former_rows", "from earlier_rows")
        relations.make("doubtful_former_rows", "select n from earlier_rows limit 0")
        return
    ended = relations.make("ended_rows", f"select *{no_rarities(matching)} from earlier_rows where gone")
    alike = relations.make("rows_like_ended", pairs_by_keys(matching.keys, ended, "spine_rows"))
    begun = _begun_later(context, alike, ended, arrived)
    prior = prior_log_odds(context.model.known, context.model.persons)
    against = " or ".join(f"({condition})" for condition in _against(context)) or "false"
    errors = matching.errors
    successors = relations.make(
        "successors",
        f"""with weighed as (
                select l.n, l.record as was, r.n as successor, {_weight(context)} + {prior} as log_odds, {against} as against
                from {begun} as b join {ended} as l on l.n = b.n join spine_rows as r on r.n = b.other),
            best as (
                select was, successor, max(log_odds) as log_odds, bool_and(against) as against from weighed group by all),
            shared as (
                select *, pow(2, log_odds) / (1 + sum(pow(2, log_odds)) over (partition by was)) as probability from best)
            select was, successor, probability >= {1 - errors.deterministic_error} and not against as certain from shared
            where probability >= {errors.review_error}
            qualify row_number() over (partition by was order by log_odds desc, successor) = 1""",
    )
    relations.make(
        "doubtful_former_rows",
        f"select n from earlier_rows join {successors} on was = record where gone and not certain",
    )
    relations.make(
        "former_rows",
        f"""select f.* exclude (record), coalesce(successor, record) as record
            from earlier_rows as f left join {successors} on was = f.record and f.gone
            where not gone or successor is not null""",
    )


def _begun_later(context: Context, alike: str, ended: str, arrived: str | None) -> str:
    """Return the relation of the pairs of `alike` whose second row came after the first was not sent any more."""
    if not arrived:
        return alike
    run = "split_part({}, '/', 1)"
    first = context.relations.make(
        "first_seen",
        f"""select n as other, min(_ref) as first from {arrived} as arrived
            semi join (select other as n from {alike}) as alike using (n) group by n""",
    )
    return context.relations.make(
        "rows_begun_later",
        f"""select alike.n, alike.other from {alike} as alike join {first} as seen using (other)
            join {ended} as ended using (n)
            where {run.format("seen.first")} > {run.format("ended._ref")}""",
    )


def _against(context: Context) -> list[str]:
    """Return the SQL of whether a comparison speaks against `l` and `r`, of each that tells people apart."""
    found, matching = [], context.matching
    for name in models.counted(matching):
        levels = enumerate(zip(matching.comparisons[name].levels, context.model.weights(name), strict=True))
        against = [str(level) for level, (declared, weight) in levels if not declared.missing and weight < 0]
        found.append(f"{models.level_of(matching, name)} in ({', '.join(against)})" if against else "false")
    return found


def link_by_former_number(context: Context, identifier: str, unlinked: str) -> None:
    """Link the rows of `unlinked` that bear a number which a record of the spine bore before.

    Makes `links_former_<identifier>`, `unlinked_former_<identifier>`, `scored_former_<identifier>`, and
    `doubtful_former_<identifier>`: candidates of which that is not sure enough, `n`, `person`, `other`, `match_weight`,
    `probability`.
    """
    name, column, relations = f"former_{identifier}", quote(identifier), context.relations
    pairs = f"""select l.n, r.n as other from {unlinked} as l join former_rows as r on l.{column} = r.{column}
        join standing_rows as now on now.n = r.record where r.{column} is distinct from now.{column}"""
    score_pairs(context, name, pairs, unlinked, "former_rows")
    find_best_by_weight(context, name)
    relations.make(
        f"links_{name}",
        f"""select {LINK_COLUMNS} from (
                select b.n, b.person, b.other as compared, {literal(f"identifier {identifier}")} as rule, match_weight,
                       probability, null::int as bucket
                from best_{name} as b join former_persons as former on former.n = b.other
                {_join_levels(context, name, unlinked)}
                where holds and probability >= {least_probability(context)} and {_agrees(context)})""",
    )
    relations.make(
        f"doubtful_{name}",
        f"""select p.n, p.person, p.other, p.match_weight, b.probability
            from persons_{name} as p join best_{name} as b on b.n = p.n anti join links_{name} as made on made.n = p.n""",
    )
    relations.make(f"unlinked_{name}", f"from {unlinked} anti join links_{name} using (n)")


def _join_levels(context: Context, name: str, unlinked: str) -> str:
    """Return the SQL that joins, of each row of `best_<name>`, what speaks against the record as it was and as it is."""
    columns = ", ".join(f"{condition} as against_{place}" for place, condition in enumerate(_against(context)))
    joins = ""
    for alias, rows, key in (("was", "former_rows", "n"), ("now_", "standing_rows", "record")):
        joins += f""" join (select l.n, {columns} from best_{name} as b join {unlinked} as l on l.n = b.n
            join former_persons as f on f.n = b.other join {rows} as r on r.n = f.{key}) as {alias} on {alias}.n = b.n"""
    return joins


def _agrees(context: Context) -> str:
    """Return the SQL of whether no comparison speaks against both."""
    places = range(len(models.counted(context.matching)))
    return " and ".join(f"not (was.against_{place} and now_.against_{place})" for place in places) or "true"


def find_reviews(context: Context, doubtful: str, links: str, reviews: str, name: str) -> None:
    """Make reviews of the rows of `doubtful` that are linked to nobody, before other reviews of them.

    Args:
        context: The linking.
        doubtful: Relation of doubtful candidates, as `link_by_former_number` makes it.
        links: Relation of all links.
        reviews: Relation of the other reviews.
        name: Of the relation that is made.
    """
    first = context.relations.make(
        "reviews_former",
        f"""select n, arg_max(other, (match_weight, other)) as other, max(match_weight) as match_weight,
                   max(probability) as probability, {literal(FORMER_NUMBER)} as reason
            from {doubtful} anti join {links} using (n) group by n""",
    )
    context.relations.make(name, f"from {first} union all (from {reviews} anti join {first} using (n))")
