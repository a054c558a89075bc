"""Earlier rows of the spine's records: by which of them a record is known still, and whose rows bear their numbers.

A register that corrects a person's number gives the record another one (see `motlan.identifier_history`); one that keys its
records by the number ends a record and begins another. What bears the old number is compared with the record as it was. Three
things must hold: the record is about the same person still, or the one that came after it surely is; nobody else on the spine
bears the number now; and of what tells people apart (names, birth dates), nothing speaks against both the record as it was and
as it is.
"""

from __future__ import annotations

import math

import duckdb

from motlan.config.matching import Matching, sql
from motlan.expressions import literal, one, quote
from motlan.linking import model as models
from motlan.linking.model import Model

FORMER_NUMBER = "former_number"
"""Why a pair is left to people whose row bears a number that the record bore before, where that is not sure enough."""
CONTINUES = 0.95
"""How often a record that was given another number is about the same person still, before anything is compared."""


def follow(
    engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, columns: str, arrived: str | None = None
) -> None:
    """Find by which of `former_rows` a record of the spine is known still.

    Leaves `former` (`n`, `record`, `person`, `holds`), and with it `now_rows`, the rows that stand of these records; `stand_ins`,
    the person of each and of `doubles`; `known_rows`, the rows that hold beside those of the spine; and `thin`, empty.

    Args:
        engine: A session with `spine_rows`, `former_rows` and `doubles`.
        matching: The declaration.
        model: The model.
        columns: The columns of `known_rows`, as SQL.
        arrived: Relation (`n`, `_ref`) of every accepted row of the spine; None where that is not known.
    """
    _find_heirs(engine, matching, model, arrived)
    bits, sure = _bits(matching, model), 1 - matching.errors.sure
    taken = " union ".join(
        f"""select was.n from former_rows as was
            join now_rows as now on now.n = was.record and was.{name} is distinct from now.{name}
            join spine_rows as other on other.{name} = was.{name} left join doubles as d on d.n = other.n
            left join doubles as own on own.n = was.record
            where coalesce(d.person, other.n) != coalesce(own.person, was.record)"""
        for name in map(quote, matching.followed)
    )
    zeros = "".join(f", 0::double as {quote(models.rarity(name))}" for name in models.counted(matching))
    engine.execute(
        f"""create or replace temp table now_rows as
            from spine_rows semi join (select record as n from former_rows) using (n);
            create or replace temp table former as
            select l.n, l.record, coalesce(d.person, l.record) as person,
                   taken.n is null and doubtful.n is null and {_probability(bits, CONTINUES)} >= {sure} as holds
            from (select *{zeros} from former_rows) as l join now_rows as r on r.n = l.record
            left join doubles as d on d.n = l.record left join ({taken}) as taken on taken.n = l.n
            left join doubtful on doubtful.n = l.n;
            create or replace temp table stand_ins as
            select n, person from doubles union all select n, person from former;
            create or replace temp table thin (n bigint, person bigint, other bigint, weight double, probability double);
            create or replace temp view known_rows as
            select {columns} from spine_rows union all
            select {columns} from former_rows semi join (select n from former where holds) using (n)"""
    )


def _bits(matching: Matching, model: Model) -> str:
    """Return the SQL of what all that does not rest on a number says of `l` and `r`."""
    told = [name for name in matching.comparisons if not matching.rests_on(name) & {*matching.followed}]
    return " + ".join(models.weight_of(matching, model, name) for name in told) or "0"


def _probability(bits: str, known: float) -> str:
    return f"1 / (1 + pow(2, -({bits} + {math.log2(known / (1 - known))})))"


def _find_heirs(engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, arrived: str | None) -> None:
    """Let the earlier rows of records that are gone be those of the record that came after them, where one probably did.

    It agrees with the one that is gone in all that is no number, and came when that was not sent any more. `doubtful` (`n`) are
    the rows of which that is not sure; rows of records that nobody came after are left out.
    """
    engine.execute("create or replace temp table doubtful (n bigint)")
    if not one(engine, "select count(*) from former_rows where gone")[0]:
        return
    zeros = "".join(f", 0::double as {quote(models.rarity(name))}" for name in models.counted(matching))
    engine.execute(
        f"create or replace temp table ended as select *{zeros} from former_rows where gone;"
        "create or replace temp table begun as "
        + " union ".join(
            "select l.n, r.n as other from ended as l join spine_rows as r on "
            + " and ".join(f"{a} = {b}" for a, b in zip(sql(mine, "l"), sql(theirs, "r"), strict=True))
            for mine, theirs in matching.keys
        )
    )
    if arrived:
        run = "split_part({}, '/', 1)"
        engine.execute(
            f"""create or replace temp table seen as
                select n as other, min(_ref) as first from {arrived} semi join (select other as n from begun) using (n)
                group by n;
                create or replace temp table later as
                select begun.n, begun.other from begun join seen using (other) join ended using (n)
                where {run.format("seen.first")} > {run.format("ended._ref")};
                drop table begun; alter table later rename to begun"""
        )
    prior = math.log2(model.known / (1 - model.known) / max(model.persons, 1))
    against = " or ".join(f"({told})" for told in _against(matching, model)) or "false"
    engine.execute(
        f"""create or replace temp table heirs as
            with weighed as (
                select l.n, l.record as was, r.n as heir, {_bits(matching, model)} + {prior} as bits, {against} as against
                from begun join ended as l on l.n = begun.n join spine_rows as r on r.n = begun.other),
            best as (select was, heir, max(bits) as bits, bool_and(against) as against from weighed group by all),
            shared as (select *, pow(2, bits) / (1 + sum(pow(2, bits)) over (partition by was)) as probability from best)
            select was, heir, probability >= {1 - matching.errors.sure} and not against as sure from shared
            where probability >= {matching.errors.review}
            qualify row_number() over (partition by was order by bits desc, heir) = 1;
            insert into doubtful select n from former_rows join heirs on was = record where gone and not sure;
            create or replace temp table followed as
            select f.* exclude (record), coalesce(heir, record) as record
            from former_rows as f left join heirs on was = f.record and f.gone where not gone or heir is not null;
            drop table former_rows; alter table followed rename to former_rows"""
    )


def _against(matching: Matching, model: Model) -> list[str]:
    """Return the SQL of whether a comparison speaks against `l` and `r`, of each that tells people apart."""
    found = []
    for name in models.counted(matching):
        levels = enumerate(zip(matching.comparisons[name].levels, model.weights(name), strict=True))
        against = [str(level) for level, (declared, bits) in levels if not declared.missing and bits < 0]
        found.append(f"{models.level_of(matching, name)} in ({', '.join(against)})" if against else "false")
    return found


def pairs(identifier: str) -> str:
    """Return the SQL of the pairs (`n`, `other`) of waiting rows and earlier rows that share an identifier of then."""
    column = quote(identifier)
    return f"""select l.n, r.n as other from waiting as l join former_rows as r on l.{column} = r.{column}
        join now_rows as now on now.n = r.record where r.{column} is distinct from now.{column}"""


def decide(engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, identifier: str) -> None:
    """Make `sure` of the best pairs of `ranked` where they hold, and link them; keep the others, of `persons`, in `thin`."""
    was, now = (
        f"select l.n, {', '.join(f'{told} as against_{place}' for place, told in enumerate(_against(matching, model)))}"
        f" from ranked join waiting as l on l.n = ranked.n join former on former.n = ranked.other"
        f" join {rows} as r on r.n = former.{key}"
        for rows, key in (("former_rows", "n"), ("now_rows", "record"))
    )
    places = range(len(models.counted(matching)))
    agrees = " and ".join(f"not (was.against_{place} and now_.against_{place})" for place in places) or "true"
    engine.execute(
        f"""create or replace temp table sure as
            select ranked.n, ranked.person, ranked.other, {literal(f"identifier {identifier}")} as rule, weight, probability
            from ranked join former on former.n = ranked.other join ({was}) as was on was.n = ranked.n
            join ({now}) as now_ on now_.n = ranked.n
            where holds and probability >= {1 - matching.errors.sure} and {agrees};
            insert into linked select *, null from sure;
            insert into thin
            select p.n, p.person, p.other, p.weight, ranked.probability
            from persons as p join ranked on ranked.n = p.n anti join sure on sure.n = p.n;
            create or replace temp table still as from waiting anti join sure using (n)"""
    )


def review(engine: duckdb.DuckDBPyConnection) -> None:
    """Add to `reviews` the rows of `thin` that are linked to nobody, before what else may be asked of them."""
    engine.execute(
        f"""create or replace temp table unsure as
            select n, arg_max(other, (weight, other)) as other, max(weight) as weight, max(probability) as probability,
                   {literal(FORMER_NUMBER)} as reason
            from thin anti join linked using (n) group by n;
            insert into unsure from reviews anti join unsure using (n);
            create or replace temp table reviews as from unsure; drop table unsure"""
    )
