"""The stages of linking, over tables of one engine session. Every stage gives pairs a weight by the same model.

1. A row with a person's identifier is linked where the rest agrees so well that an error is less probable than `errors.sure`.
2. So is a row whose exact key is unique on both sides.
3. What is left is compared with the rows of the spine that share a blocking key. Its candidates, and that it is none of
   them, share one probability; a person whom a row of the same dataset claimed already gets less of it.
4. Rows that belong to nobody on the spine are grouped among themselves, by the same keys and weights.

A row's number `n` is a hash (MD5) of dataset and key, the same on every engine: ties are broken by it, so neither order of
arrival nor the number of threads matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import duckdb

from motlan.config.matching import Matching, sql
from motlan.expressions import literal, make, one, quote
from motlan.linking import apply_decisions, former_rows, residual
from motlan.linking import model as models
from motlan.linking.decision_constraints import heed
from motlan.linking.linking_rows import Kept, Tables, cuts
from motlan.linking.model import Model
from motlan.linking.model_training import Teacher
from motlan.slices import slices

PAIR = "n bigint, other bigint, weight double"
DOUBLE = "n bigint, person bigint, weight double, probability double"
RANKINGS = 2
"""How often the kinds of pairs are learned, each time from the best pairs by what was learned before."""
LINKED = "n bigint, person bigint, compared bigint, rule varchar, weight double, probability double, home int"


def link_all(
    engine: duckdb.DuckDBPyConnection,
    matching: Matching,
    facts: str,
    model: Model | None = None,
    *,
    earlier: str | None = None,
    remembered: bool = False,
    decided: bool = False,
) -> Linking:
    """Load facts into tables and link them; without a model, learn one first (which leaves the table `frequencies`).

    Args:
        engine: A session; with a model given, the table `frequencies` is in it.
        matching: The declaration. With no spine, duplicates are looked for among all rows.
        facts: Relation with `dataset`, `_key` and the fields of `matching.fields`.
        model: A frozen model.
        earlier: Relation of earlier rows of the spine's records, as `Tables` takes it for `former`.
        remembered: As `Linking` takes it.
        decided: As `Linking` takes it.

    Returns:
        The linking, done: its model is the one used.
    """
    learned = load_all(Tables(engine, matching, facts, earlier), model)
    linking = Linking(engine, matching, learned, former=earlier is not None, remembered=remembered, decided=decided)
    linking.run(calibrate=model is None)
    return linking


def load_all(rows: Tables | Kept, model: Model | None = None) -> Model:
    """Load rows for `Linking`, and return the model to link them by.

    Args:
        rows: The rows.
        model: A frozen model, whose table `frequencies` is in the session; without one, it is learned (which leaves that table).
    """
    rows.load_spine()
    if model is None:
        teacher = Teacher(rows.engine, rows.matching, rows.homes)
        collision = teacher.frequencies()
        rows.load_left(teacher.start.model_copy(update={"collision": collision, "persons": teacher.persons}))
        model = teacher.learn(collision)
        if model.collision != collision:
            rows.load_left(model)
    else:
        rows.load_left(model)
    rows.finish()
    return model


def let_go(engine: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables that nothing needs once a linking is done."""
    for table in (
        "keyed",
        "candidates",
        "several",
        "persons",
        "ranked",
        "sure",
        "claims",
        "claimed",
        "still",
        "alone",
        "thin",
        "now",
    ):
        engine.execute(f"drop table if exists {table}")


def odds(bits: float, known: float, persons: int) -> float:
    """Return the log2 odds of a pair: its weight, and how probable one person of so many is before anything is compared."""
    return bits + math.log2(known / (1 - known) / max(persons, 1))


class Linking:
    """One linking of the loaded rows.

    `run` leaves the tables `linked` (`n`, `person`, `compared`, `rule`, `weight`, `probability`, and `home` where kept rows were
    joined at home: every row but the persons' founders), `reviews` (`n`, `other`, `weight`, `probability`, `reason`), `doubles`
    (rows of the spine that are another's) and `scored` (`n`, `other`, `weight`: the pairs that were given a weight now; of kept
    rows with `row_version` and `other_version`).

    Args:
        engine: A session with `spine_rows` and `left_rows`.
        matching: The declaration.
        model: The model; `run` completes it where that is asked.
        homes: How many homes the rows have that are kept outside of memory; 0 of tables.
        former: Whether there are `former_rows`: their numbers are their records' too.
        arrived: Relation (`n`, `_ref`) of every accepted row of the spine; None where that is not known.
        remembered: Whether the table `remembered` (`n`, `other`, `weight`) holds the pairs of rows that are as they were,
            weighed before under this model: they are not weighed again.
        decided: Whether the table `decided` (`n`, `other`, `same`) holds what persons decided.
    """

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        matching: Matching,
        model: Model,
        *,
        homes: int = 0,
        former: bool = False,
        arrived: str | None = None,
        remembered: bool = False,
        decided: bool = False,
    ) -> None:
        self.engine, self.matching, self.model = engine, matching, model
        self.homes, self.remembered, self.decided = homes, remembered, decided
        self.former, self.arrived = former and bool(matching.followed), arrived
        self.spine, self.standing = ("known_rows", "stand_ins") if self.former else ("spine_rows", "doubles")
        self.follows = False
        self.weight = models.weight(matching, model)

    def run(self, *, calibrate: bool = False) -> Model:
        """Run all stages; return the model, completed where `calibrate` is asked."""
        for table, columns in (("linked", LINKED), ("scored", self._scored()), ("doubles", DOUBLE)):
            self.engine.execute(f"create or replace temp table {table} ({columns})")
        self._find_doubles()
        constraints = heed(self.engine) if self.decided else None
        if self.former:
            known = ["n", *(["version"] if self.homes else []), "dataset", *map(quote, self.matching.columns)]
            former_rows.follow(self.engine, self.matching, self.model, ", ".join(known), self.arrived)
            self.follows = True
        if not self._all_wait():
            self.engine.execute("drop table if exists waiting")
        self.engine.execute("create or replace temp view waiting as from left_rows")
        self._link_decided()
        for identifier in self.matching.identifiers:
            self._link_by(identifier)
        if self.former:
            for identifier in self.matching.followed:
                self._link_by_former(identifier)
        if self.matching.exact:
            on = f"l.exact_key = r.exact_key and {models.doubt(self.matching)} = ''"
            self._link_surely("exact", on, self._alone(), "spine_rows")
            self._keep_waiting("exact")
        self._weigh(self._pairs_by_keys("waiting", self.spine), "waiting", self.spine)
        self._gather()
        barred = (
            f"(select distinct n, person, {literal(former_rows.FORMER_NUMBER)} as doubt from thin)"
            if self.former
            else None
        )
        residual.tell_bearing(self.engine, self.matching, self.spine)
        residual.tell_kinds(self.engine, self.matching, self.model, self.spine, barred)
        self._tell_claims()
        self.kinds = residual.Kinds.read(self.engine, self.matching, self.model)
        if calibrate:
            self._calibrate()
        self._link_probably()
        self._group_rest()
        if constraints:
            apply_decisions.keep_decisions(self.engine, constraints)
            apply_decisions.let_wait(self.engine)
            self._let_wait()
        return self.model

    def _find_doubles(self) -> None:
        """Find rows of the spine that share an identifier with another and agree with it: the least of a group founds it."""
        if not self.matching.identifiers:
            return
        identifier = self.matching.identifiers[0]
        column = quote(identifier)
        spines = (f"(from spine_rows where {some})" for some in self._cuts(identifier, "spine_rows"))
        queries = (
            f"""with shared as (select {column}, min(n) as person from {rows} where {column} is not null
                                group by all having count(*) > 1)
                select s.*{self._no_rarities()}, shared.person from {rows} as s join shared using ({column})"""
            for rows in spines
        )
        make(self.engine, "twins", queries)
        self._weigh("select n, person as other from twins where n != person", "twins", "twins")
        self.engine.execute(
            f"insert into doubles select n, other, weight, {self._alone_probability()} as probability from candidates "
            f"where {self._alone_probability()} >= {1 - self.matching.errors.sure}"
        )

    def _link_by_former(self, identifier: str) -> None:
        """Link the waiting rows that bear a number which a record of the spine bore before (see `motlan.linking.former_rows`)."""
        self._weigh(former_rows.pairs(identifier), "waiting", "former_rows")
        self._gather()
        self._rank(self.model.known)
        former_rows.decide(self.engine, self.matching, self.model, identifier)
        self._let_wait()

    def _cuts(self, identifier: str, table: str) -> list[str]:
        """Return conditions that cut a table's rows so that those with one value of an identifier are together."""
        rows = one(self.engine, f"select count(*) from {table}")[0]
        return cuts(self.matching, identifier, rows, self.homes)

    def _no_rarities(self) -> str:
        """Return the SQL of rarities for rows that have none: their values count as usual."""
        return "".join(f", 0::double as {quote(models.rarity(name))}" for name in models.counted(self.matching))

    def _alone_probability(self, known: float | None = None, persons: int | None = None) -> str:
        """Return the SQL of the probability of a pair that has no rival."""
        base = odds(0, known or self.model.known, persons or self.model.persons)
        return f"(1 / (1 + pow(2, -(weight + {base}))))"

    def _weigh(self, pairs: str, left: str, right: str) -> None:
        """Make `candidates` from pairs (`n`, `other`) with their weights, remembered or computed; note the latter in `scored`."""
        self.engine.execute(f"create or replace temp table keyed as {pairs}")
        if self.decided:
            self.engine.execute(
                "delete from keyed where exists (from decided where (decided.n, decided.other) in "
                "((keyed.n, keyed.other), (keyed.other, keyed.n)))"
            )
            if self.follows:
                self.engine.execute(
                    "delete from keyed where exists (from decided join former on former.n = keyed.other "
                    "where (decided.n, decided.other) in ((keyed.n, former.record), (former.record, keyed.n)))"
                )
        known = "keyed"
        self.engine.execute(f"create or replace temp table candidates ({PAIR})")
        if self.remembered:
            self.engine.execute(
                "insert into candidates select n, other, weight from keyed join remembered using (n, other)"
            )
            known = "(from keyed anti join remembered using (n, other))"
        self.engine.execute(
            f"""create or replace temp table fresh as
                select l.n, r.n as other, {self.weight} as weight{self._versions()}
                from {known} as keyed join {left} as l on l.n = keyed.n join {right} as r on r.n = keyed.other"""
        )
        self._note_fresh()

    def _weigh_joined(self, left: str, right: str, on: str, *, same: bool) -> None:
        """Do it for the pairs of two relations that a condition joins, in one pass where nothing is remembered."""
        if self.remembered or self.decided:
            self._weigh(f"select l.n, r.n as other from {left} as l join {right} as r on {on}", left, right)
            return
        weight = models.weight(self.matching, self.model, same=same)
        self.engine.execute(
            f"""create or replace temp table candidates ({PAIR});
                create or replace temp table fresh as
                select l.n, r.n as other, {weight} as weight{self._versions()}
                from {left} as l join {right} as r on {on}"""
        )
        self._note_fresh()

    def _note_fresh(self) -> None:
        self.engine.execute(
            "insert into candidates select n, other, weight from fresh; insert into scored from fresh; drop table fresh"
        )

    def _scored(self) -> str:
        """Return the columns of `scored`: a pair that was weighed, and of kept rows the version that each one was in."""
        return f"{PAIR}, row_version bigint, other_version bigint" if self.homes else PAIR

    def _versions(self) -> str:
        return ", l.version as row_version, r.version as other_version" if self.homes else ""

    def _link_decided(self) -> None:
        """Link what persons decided to be the same, before the machine has a say."""
        if not self.decided:
            return
        self.engine.execute(
            """insert into linked
               select w.n, coalesce(d.person, s.n), s.n, 'decided', null, 1, null
               from decided_persons as told join waiting as w on w.n = told.n join spine_rows as s on s.n = told.other
               left join doubles as d on d.n = s.n"""
        )
        self._keep_waiting("decided")

    def _tell_claims(self) -> None:
        """Make `claimed` (`dataset`, `persons`: how many its rows are linked to) and, of `persons` alone, `claims`."""
        self.engine.execute(
            """create or replace temp table claims (dataset varchar, person bigint);
               create or replace temp table claimed (dataset varchar, persons bigint)"""
        )
        for part in slices(one(self.engine, "select count(*) from linked")[0]):
            self.engine.execute(
                f"""create or replace temp table once as
                    select distinct dataset, person from (from linked where {part("person")}) join left_rows using (n);
                    insert into claims select dataset, person from once semi join persons using (person);
                    insert into claimed select dataset, count(*) from once group by all;
                    drop table once"""
            )

    def _link_by(self, identifier: str) -> None:
        """Link the waiting rows that share an identifier with a person of the spine, where that is sure."""
        column = quote(identifier)
        conditions = self._cuts(identifier, "waiting")
        at_home = self.homes and identifier == self.matching.identifiers[0]
        self.engine.execute("create or replace temp table still as from waiting limit 0")
        for place, some in enumerate(conditions):
            rows, spine = (f"(from {table} where {some})" for table in ("waiting", "spine_rows"))
            on, home = f"l.{column} = r.{column}", str(place) if at_home else "null"
            self._link_surely(f"identifier {identifier}", on, rows, spine, same=True, home=home)
            self.engine.execute(f"insert into still from {rows} anti join sure using (n)")
        self._let_wait()

    def _link_surely(
        self, rule: str, on: str, rows: str, spine: str, *, same: bool = False, home: str = "null"
    ) -> None:
        """Link rows of a relation to persons of the spine that they join, where one is `sure`; the others wait for stage 3."""
        self._weigh_joined(rows, spine, on, same=same)
        self._gather()
        self._rank(self.model.known)
        self.engine.execute(
            f"""create or replace temp table sure as
                select n, person, other, {literal(rule)} as rule, weight, probability, {home}::int as home from ranked
                where probability >= {1 - self.matching.errors.sure};
                insert into linked from sure"""
        )

    def _rank(self, known: float) -> None:
        """Make `ranked` from `candidates`: the best person of each row, and its probability among all of them and none."""
        self._share(f"select *, weight + {odds(0, known, self.model.persons)} as bits from persons")

    def _rank_rest(self) -> None:
        """Do it for rows of the third stage: by the kinds of their pairs."""
        self._share(residual.odds_of_kinds(self.engine, self.kinds, self.model), ("whole", "prior", "doubt"))

    def _gather(self) -> None:
        """Make `persons`: of each row of `candidates` every person with the best of its rows; `alone` where there is but one.

        Most rows have one candidate: they need no more than a count.
        """
        self.engine.execute(
            f"""create or replace temp table several as
               select n, count(*) as many, any_value(other) as other, any_value(weight) as weight from candidates group by n;
               create or replace temp table persons as
               with best as (
                   select c.n, coalesce(d.person, c.other) as person, max(c.weight) as weight,
                          arg_max(c.other, (c.weight, c.other)) as other
                   from candidates as c semi join (select n from several where many > 1) using (n)
                   left join {self.standing} as d on d.n = c.other group by all)
               select several.n, coalesce(d.person, other) as person, several.weight, other, true as alone
               from several left join {self.standing} as d on d.n = other where many = 1
               union all by name select *, false as alone from best"""
        )

    def _share(self, told: str, also: Sequence[str] = ()) -> None:
        """Make `ranked`, where `told` gives the log2 odds (`bits`) of each person of `persons` against none."""
        best = ("person", "other", "weight", *also)
        chosen = ", ".join(f"arg_max({column}, (odds, person)) as {column}" for column in best)
        self.engine.execute(
            f"""create or replace temp table ranked as
                with told as (select *, pow(2, bits) as odds from ({told}))
                select n, {", ".join(best)}, odds / (1 + odds) as probability, odds as all_odds from told where alone
                union all by name
                select n, {chosen}, max(odds) / (1 + sum(odds)) as probability, sum(odds) as all_odds
                from told where not alone group by n"""
        )

    def _keep_waiting(self, rule: str) -> None:
        """Let wait only what was not linked by a rule just now."""
        self.engine.execute(
            "create or replace temp table still as from waiting "
            f"anti join (select n from linked where rule = {literal(rule)}) using (n)"
        )
        self._let_wait()

    def _let_wait(self) -> None:
        """Let the rows of `still` wait, and no others."""
        kind = "view" if self._all_wait() else "table"
        self.engine.execute(f"drop {kind} waiting; alter table still rename to waiting")

    def _all_wait(self) -> bool:
        """Tell whether nothing was taken out of `waiting` yet: it is a view till then."""
        return bool(one(self.engine, "select count(*) from duckdb_views() where view_name = 'waiting'")[0])

    def _alone(self) -> str:
        """Return the rows whose exact key nobody else has, on either side."""
        self.engine.execute(
            """create or replace temp table alone as
               with keys as (
                   select distinct exact_key from (
                       select exact_key from waiting where exact_key is not null group by exact_key, dataset having count(*) = 1))
               select exact_key from spine_rows semi join keys using (exact_key) group by exact_key having count(*) = 1"""
        )
        rows = "waiting anti join thin using (n)" if self.former else "waiting"
        return (
            f"(select * from {rows} semi join alone using (exact_key) "
            "qualify count(*) over (partition by exact_key, dataset) = 1)"
        )

    def _pairs_by_keys(self, left: str, right: str, also: str = "true") -> str:
        """Return the SQL of the pairs (`n`, `other`) that share an identifier or a blocking key."""
        keys = [((name,), (name,)) for name in self.matching.identifiers] + list(self.matching.keys)
        parts = []
        for mine, theirs in keys:
            on = " and ".join(f"{a} = {b}" for a, b in zip(sql(mine, "l"), sql(theirs, "r"), strict=True))
            parts.append(f"select l.n, r.n as other from {left} as l join {right} as r on {on} where {also}")
        return " union ".join(parts)

    def _calibrate(self) -> None:
        """Complete the model by what this data shows: how probable each kind of pair is, and where to cut."""
        if not self.matching.spine:
            return
        totals = self.engine.execute(
            """select dataset || ' ' || bearing, count(*) from bearing join waiting using (n) group by all order by all"""
        ).fetchall()
        self._rank_rest()
        for _ in range(RANKINGS):
            seen = self.engine.execute(
                """select whole, round(2 * (log2(all_odds) - prior), 0) / 2 as told, count(*) from ranked
                   where all_odds > 0 group by all order by all"""
            ).fetchall()
            odds_of_rest, known = self.kinds.learn(seen, dict(totals))
            self.model = self.model.model_copy(update={"odds_of_rest": odds_of_rest, "known_of_rest": known})
            self._rank_rest()
        self.model = self.model.model_copy(update={"linked": self._threshold()})

    def _threshold(self) -> float:
        """Find the least probability at which the expected share of wrong links stays in the wanted limit."""
        made, wrong = one(self.engine, "select count(*), coalesce(sum(1 - probability), 0) from linked")
        found = one(
            self.engine,
            f"""select min(probability) from (
                    select probability, {wrong} + sum(1 - probability) over up as wrong, {made} + count(*) over up as made
                    from ranked where doubt = '' window up as (order by probability desc))
                where wrong <= {self.matching.errors.linked} * made""",
        )[0]
        return max(math.floor((found if found is not None else 0.999) * 1e6) / 1e6, 1 - self.matching.errors.each)

    def _link_probably(self) -> None:
        """Link rows to their best person. Of rows of one dataset with one person the best comes first, the others think again."""
        self._rank_rest()
        self._take_probable(
            "qualify row_number() over (partition by waiting.dataset, person order by ranked.probability desc, n) = 1"
        )
        self.engine.execute(
            """insert into claims
               from (select distinct waiting.dataset, person from linked join waiting using (n) where rule = 'probable')
               anti join claims using (dataset, person)"""
        )
        self.engine.execute("create or replace temp table persons as from persons anti join linked using (n)")
        self._rank_rest()
        self._take_probable("")
        self.engine.execute(
            f"""create or replace temp table reviews as select n, other, weight, probability, nullif(doubt, '') as reason
                from ranked anti join linked using (n) where probability >= {self.model.review}"""
        )
        if self.former:
            former_rows.review(self.engine)
        self._keep_waiting("probable")

    def _take_probable(self, best: str) -> None:
        self.engine.execute(
            f"""insert into linked select n, person, other, 'probable', weight, ranked.probability, null
                from ranked join waiting using (n)
                where ranked.probability >= {self.model.linked} and ranked.doubt = '' {best}"""
        )

    def _group_rest(self) -> None:
        """Group rows that belong to nobody on the spine: those that are connected by pairs that are probable enough."""
        rows = one(self.engine, "select count(*) from waiting")[0]
        self._weigh(self._pairs_by_keys("waiting", "waiting", "l.n < r.n"), "waiting", "waiting")
        probability = self._alone_probability(models.UNTOLD if self.matching.spine else self.model.known, rows)
        same = (
            "select n, other, null, 1 from decided where same"
            if self.decided
            else "select n, other, weight, 1 from candidates limit 0"
        )
        self.engine.execute(
            f"""create or replace temp table edges as
                select c.n, c.other, c.weight, c.probability
                from (select *, {probability} as probability from candidates where {probability} >= {self.model.linked}) as c
                join waiting as l on l.n = c.n join waiting as r on r.n = c.other where {models.doubt(self.matching)} = ''
                union all (from ({same}) as told(n, other, weight, probability) semi join waiting using (n)
                           semi join (select n as other from waiting) using (other))"""
        )
        self._connect()
        self.engine.execute(
            """insert into linked
               with best as (
                   select n, arg_max(other, (coalesce(weight, 1000), other)) as other, max(weight) as weight,
                          max(probability) as probability
                   from ways group by n)
               select best.n, labels.person, best.other, if(best.weight is null, 'decided', 'provisional'), best.weight,
                      best.probability, null
               from best join labels using (n) where best.n != labels.person"""
        )
        self.engine.execute(
            f"""insert into reviews
                with told as (
                    select c.n, other, weight, {probability} as probability from candidates as c
                    left join labels as mine on mine.n = c.n left join labels as theirs on theirs.n = c.other
                    where {probability} >= {self.model.review}
                      and coalesce(mine.person, c.n) != coalesce(theirs.person, other)
                      and c.n not in (select n from reviews)
                    qualify row_number() over (partition by c.n order by weight desc, other) = 1)
                select told.n, other, weight, probability, nullif({models.doubt(self.matching)}, '') as reason
                from told join waiting as l on l.n = told.n join waiting as r on r.n = told.other"""
        )

    def _connect(self) -> None:
        """Make `labels`: each row of `edges` with the least row that it is connected to; and `ways`, the edges both ways."""
        self.engine.execute(
            """create or replace temp table ways as
                   from edges union all by name select other as n, n as other, weight, probability from edges;
               create or replace temp table labels as select n, least(n, min(other)) as person from ways group by n"""
        )
        while True:
            self.engine.execute(
                """create or replace temp table next as
                   select ways.n, least(any_value(mine.person), min(theirs.person)) as person
                   from ways join labels as mine on mine.n = ways.n join labels as theirs on theirs.n = ways.other
                   group by ways.n"""
            )
            changed = one(
                self.engine, "select count(*) from next join labels using (n) where next.person != labels.person"
            )
            self.engine.execute("create or replace temp table labels as from next")
            if not changed[0]:
                return
