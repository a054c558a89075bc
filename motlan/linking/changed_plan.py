"""The stages of linking for a part of the rows, the others' outcomes being known: what an incremental run does.

It links the rows of `touched` among the rows that they depend on:

- rows of the spine that share an identifier, an exact key or (of what deterministic linking leaves) a blocking key with them;
- rows of their dataset that have a candidate in common with them, which compete for it;
- rows that belong to nobody on the spine and may be of one cluster with them.

Which rows every other person has already is read from the links before. What comes of rows beside the touched ones is left out.
"""

from __future__ import annotations

from functools import partial

from motlan.expressions import quote
from motlan.linking import clustering, deterministic, probabilistic
from motlan.linking import model as models
from motlan.linking.affected_rows import RESIDUAL, UNLINKED, Affected, texts
from motlan.linking.former_rows import FORMER_NUMBER
from motlan.linking.link_rows import Linking, Plan
from motlan.linking.relations import union

KEPT = ("residual_spine", "cluster_rows")
"""Relations that a pass leaves beside those of a linking, to name rows by."""


class ChangedPlan(Plan):
    """The steps of one pass.

    It reads the relations of `Affected`, `touched` (`n`), `duplicates_before` (`n`, `person`, `match_weight`, `probability`) and
    `links_before` (`dataset`, `founder`, `rule`, `_key`, ...).

    Args:
        linking: The linking, with `spine_rows` and `left_rows`.
        affected: The search for rows.
        touched: Relation of the rows that are linked anew.
    """

    def __init__(self, linking: Linking, affected: Affected, touched: str) -> None:
        self.affected, self.touched = affected, touched
        super().__init__(linking, calibrate=False)

    def _find_duplicates(self, found: str) -> None:
        if not self.matching.identifiers:
            super()._find_duplicates(found)
            return
        run = partial(deterministic.find_duplicates, self.context, "machine_duplicates")
        self._add("find duplicates among the touched", run, (), ("machine_duplicates", "scored_duplicates"))
        self.scored.append("scored_duplicates")
        columns = "n, person, match_weight, probability"
        settled = f"""select {columns} from machine_duplicates semi join {self.touched} using (n)
            union all select {columns} from duplicates_before anti join {self.touched} using (n)"""
        run_settled = partial(self.relations.make, found, settled)
        self._add("keep the other duplicates", run_settled, ("machine_duplicates",), (found,))

    def _link_probably(self, calibrate: bool) -> None:
        assert not calibrate
        context, links, known = self.context, list(self.links), self.unlinked
        former = ("former_rows", "former_persons", "doubtful_former") if self.former else ()
        read = (known, self.standing, *former, *self.binding)
        self._add("find the rows near what is left", partial(self._find_near, known), read, ("near_rows", KEPT[0]))
        doubted = None
        if self.former:
            doubted = f"(select distinct n, person, '{FORMER_NUMBER}' as doubt from doubtful_former)"
        find = partial(probabilistic.find_candidates, context, "near_rows", KEPT[0], doubted)
        made = ("candidate_persons", "identifier_status", "scored_residual")
        self._add("find candidates by blocking rules", find, ("near_rows", *read[1:], KEPT[0]), made)
        self.scored.append("scored_residual")
        find = partial(self._find_already_linked, links)
        read = (*links, "candidate_persons", KEPT[0], self.standing, *(("standing_rows",) if self.former else ()))
        self._add("find who is linked already", find, read, ("already_linked",))
        link = partial(probabilistic.link_probable, context, "near_rows")
        made = ("links_probable", "unlinked_probable", "reviews_residual")
        self._add("link by weight", link, ("near_rows", "already_linked", "candidate_persons"), made)
        self.links, self.unlinked = [*links, made[0]], made[1]

    def _find_near(self, known: str) -> None:
        """Make `near_rows`, the rest of the touched and who competes with them, and `residual_spine`, who they may be."""
        relations, affected, standing = self.relations, self.affected, self.standing
        relations.make("rest", f"from {known} semi join {self.touched} using (n)")
        spine, columns = affected.rows(on_spine=True), f"n, dataset, _key, _ref, {self._columns}"
        former = ""
        if self.former:
            holding = "(select n from former_persons where holds)"
            former = f" union all by name select {columns} from former_rows semi join {holding} using (n)"

        def near(rows: str) -> str:
            found = affected.sharing(spine, rows, affected.spine_of_left)
            return f"select {columns} from {spine} as s semi join ({found}) as found using (n)"

        relations.make("spine_near_rest", f"{near('rest')}{former}")
        relations.make("candidates_of_rest", affected.candidates("rest", "spine_near_rest"))
        relations.make(
            "wanted_persons",
            f"""select distinct dataset, coalesce(p.person, c.other) as person
                from candidates_of_rest as c join (select n, dataset from rest) as rest using (n)
                left join {standing} as p on p.n = c.other""",
        )
        relations.make(
            "wanted_rows",
            f"""select distinct w.dataset as of_dataset, s.* from wanted_persons as w
                join (select n, person from {standing}
                      union select distinct person, person from wanted_persons) as p using (person)
                join ({self._of_spine(columns, "select person from wanted_persons", former)}) as s on s.n = p.n""",
        )
        others = f"(from left_over_rows anti join {self.touched} using (n) where rule in ({texts(RESIDUAL)}))"
        relations.make(
            "rivals",
            f"""from {others} semi join (
                    select distinct n from ({affected.candidates(others, "wanted_rows", "l.dataset = r.of_dataset")})) as found
                using (n)""",
        )
        relations.make(KEPT[0], f"from spine_near_rest union by name {near('rivals')}")
        kept = f"n, dataset, _key, _ref, {self._columns}{self._rarities}"
        relations.make("near_rows", f"select {kept} from rest union all select {kept} from rivals")

    def _of_spine(self, columns: str, persons: str, former: str) -> str:
        """Return the SQL of the rows of the spine that are of persons, those that hold still among them."""
        numbers = f"{persons} union select n from {self.standing} where person in ({persons})"
        spine = self.affected.rows(on_spine=True)
        return f"select {columns} from {spine} as s semi join ({numbers}) as mine(n) using (n){former}"

    @property
    def _columns(self) -> str:
        return ", ".join((*map(quote, self.matching.columns), "exact_key"))

    @property
    def _rarities(self) -> str:
        return "".join(f", {quote(models.rarity(name))}" for name in models.counted(self.matching))

    def _find_already_linked(self, links: list[str]) -> None:
        """Make `already_linked` of the persons who are candidates: by rows of this pass, and by the links before of others."""
        named = "select n, dataset || '/' || _key as founder from residual_spine"
        if self.former:
            named += " union select n, dataset || '/' || _key from standing_rows"
        of_duplicates = "select d.person as n, d.founder from duplicates_before as d"
        rules = texts((clustering.PROVISIONAL, *RESIDUAL, "founder", deterministic.DECIDED, "duplicate"))
        own = texts(self.matching.spine)
        self.relations.make(
            "already_linked",
            f"""with persons as (
                    select distinct n, founder from ({named} union {of_duplicates}) semi join (
                        select person as n from candidate_persons) as wanted using (n)),
                before as (
                    select l.dataset, l._key, persons.n as person from links_before as l join persons using (founder)
                    where (rule not in ({rules}) or rule = '{deterministic.DECIDED}') and dataset not in ({own})),
                others as (
                    select dataset, person from before anti join (
                        select dataset, _key from left_rows) as mine using (dataset, _key))
                select distinct dataset, person from (
                    select dataset, person from others
                    union all select l.dataset, made.person from ({union(links)}) as made join left_rows as l using (n))""",
        )

    def _cluster(self) -> None:
        known = self.unlinked
        self._add("gather the rows of clusters", partial(self._gather, known), (known,), (KEPT[1],))
        self.unlinked = KEPT[1]
        super()._cluster()

    def _gather(self, known: str) -> None:
        """Make `cluster_rows`: the touched rows that belong to nobody, and who may be of one cluster with them."""
        columns = f"n, dataset, _key, _ref, {self._columns}{self._rarities}"
        self.relations.make("touched_left", f"select {columns} from {known} semi join {self.touched} using (n)")
        others = f"(from left_over_rows anti join {self.touched} using (n) where rule in ({texts(UNLINKED)}))"
        near = self.affected.near(others, "touched_left")
        self.relations.make(
            KEPT[1],
            f"""from touched_left union all
                select {columns} from left_over_rows semi join (select distinct n from ({near})) as found using (n)""",
        )
