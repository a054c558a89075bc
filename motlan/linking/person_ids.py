"""Which id each person has: an id belongs to the record that founded the person, and stays with it.

Rows are grouped anew in every run; this room says which group is whom. Each id has a founding record. Where it is in a group,
the group has its id. Where several are (a merge), one id stays, the others are retired for ever. Where rows part, the side with
the founding record keeps the id, and every other side gets one that nobody has or had. A founding record that is gone, or was
corrected into somebody else (it is `turned`), leaves its id to the rows that were with it, where these stay together; where
they do not, nobody can say whose the id is, and it is retired.

An id is drawn by a keyed hash of the record that founds the person, and of how often that record founded one before. So most
persons need no row here: theirs is the plain id of the row that founds their group. `identities.<entity>` keeps the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from motlan import ids
from motlan.errors import InternalError
from motlan.linking.relations import Relations

KEY = ("entity_id",)
COLUMNS = ("founded_by", "founding", "dataset", "_key", "state", "went_to")
"""Columns of `identities.<entity>`: the record that the id is drawn of (`dataset/key`), and how many persons it had founded
before; the record that founds the person now (null of a retired id); `living` or `retired`; and the ids that a retired one's
rows went to."""
_OWN = "dataset || '/' || _key"
NOBODY = (
    "select null::varchar as entity_id, null::varchar as founded_by, 0 as founding, null::varchar as dataset, "
    "null::varchar as _key, null::varchar as state, []::varchar[] as went_to where false"
)
"""SQL of `identities_before` of an entity that has no such rows yet."""


@dataclass(frozen=True)
class Identities:
    """The step from groups of rows to persons, on one engine session.

    It reads `drawn` (`dataset`, `_key`, `_ref`, `founder`, the record that founds the row's group, and `entity_id`, the plain id
    of that record), `previous` (the same of the links before) and `identities_before` (`KEY` and `COLUMNS`).

    Attributes:
        relations: The relations of the linking.
        secret: What ids are drawn with.
        entity: The entity's name.
        datasets: Its registers.
        ever: Relation of all ids that were ever published (`entity_id`): an earlier version kept no retired ones.
    """

    relations: Relations
    secret: bytes
    entity: str
    datasets: Iterable[str]
    ever: str = "(select null::varchar as entity_id where false)"

    def plain(self, row: str = "") -> str:
        """Return the SQL of the id that a record's first person has."""
        return ids.of_record(self.secret, self.entity, self.datasets, row)

    def find_met(self) -> None:
        """Make `met`, the rows whose group or version is not what it was.

        Columns: `dataset`, `_key`, `old_ref`, `_ref`, `was` and `fresh` (the id before and the plain one now), `founder`.
        """
        self.relations.make(
            "met",
            """select dataset, _key, p._ref as old_ref, d._ref as _ref, p.entity_id as was, d.entity_id as fresh, d.founder
               from (select dataset, _key, _ref, founder, entity_id from drawn) as d
               full join (select dataset, _key, _ref, entity_id from previous) as p using (dataset, _key)
               where p.entity_id is distinct from d.entity_id or p._ref is distinct from d._ref""",
        )

    def assign(self) -> None:
        """Give every group its id, by `met` and `turned` (`dataset`, `_key`: records that are about somebody else now).

        Leaves `given` (`founder`, `entity_id`, `created`) of the groups that something happened to, all others having the plain
        id of their founder; `identities_now`, in the place of `identities_before`; and `moved` (`dataset`, `_key`, `old`, `new`,
        `known`: whether the new person was there before; `turned`), the rows that went over from a person to another.
        """
        self._touch()
        self._claim()
        self._give()
        self._keep()

    def _touch(self) -> None:
        """Make `touched`: all rows of the groups and of the persons to which something happened.

        Where nothing happened, the id before is the plain one of the group's founder: rows are found by it alone.
        """
        self.relations.make(
            "core",
            """select met.dataset, met._key, was, fresh, founder, theirs is not null as turned
                from met left join (select dataset, _key, true as theirs from turned) as t using (dataset, _key)
                where was is distinct from fresh or theirs""",
        )
        self.relations.make(
            "touched",
            f"""select *, {_OWN} as own, {self.plain()} as draws from (
                    from core union all
                    select dataset, _key, entity_id as was, entity_id as fresh, founder, false as turned
                    from drawn semi join (select distinct entity_id from (
                        select was as entity_id from core union all select fresh from core) where entity_id is not null)
                    using (entity_id) anti join core using (dataset, _key))""",
        )

    def _claim(self) -> None:
        """Make `founding` (each id before, with its founding record) and `claims`: in which group each id may stay."""
        first = "(draws is distinct from was, dataset, _key)"
        self.relations.make(
            "founding",
            f"""select f.entity_id,
                       coalesce(i.founded_by, case when plain then f.dataset || '/' || f._key else f.entity_id end) as founded_by,
                       coalesce(i.founding, 0) as founding, coalesce(i.dataset, f.dataset) as dataset,
                       coalesce(i._key, f._key) as _key, i.entity_id is not null as kept
                from (select was as entity_id, arg_min(dataset, {first}) as dataset, arg_min(_key, {first}) as _key,
                             bool_or(draws is not distinct from was) as plain
                      from touched where was is not null group by was) as f
                left join (from identities_before where state = 'living') as i on i.entity_id = f.entity_id""",
        )
        self.relations.make(
            "stays",
            """select was, founder, own, dataset, _key from touched
                where was is not null and founder is not null and not turned""",
        )
        self.relations.make(
            "claims_by_founding_record",
            """select f.entity_id, founder, 0 as lost, dataset, _key from founding as f join stays using (dataset, _key)
               where was = f.entity_id""",
        )
        self.relations.make(
            "claims_by_companions",
            """select was as entity_id, min(founder) as founder, 1 as lost,
                      arg_min(dataset, (own != founder, dataset, _key)) as dataset,
                      arg_min(_key, (own != founder, dataset, _key)) as _key
               from stays anti join (select entity_id as was from claims_by_founding_record) as claimed using (was)
               group by was having min(founder) = max(founder)""",
        )
        self.relations.show("claims", "from claims_by_founding_record union all from claims_by_companions")

    def _give(self) -> None:
        """Make `given`: of a group's ids that of its founder stays first, then that which its founder had, then the least."""
        again = ids.of_record_again(self.secret, self.entity, self.datasets, "founding", "g.")
        best = "(lost, c.dataset || '/' || c._key != c.founder, founder_was is distinct from c.entity_id, c.entity_id)"
        self.relations.make(
            "heads",
            """select founder, dataset, _key, was as founder_was, draws from touched where own = founder""",
        )
        self.relations.make(
            "winners",
            f"""select c.founder, arg_min(c.entity_id, {best}) as entity_id, arg_min(c.dataset, {best}) as dataset,
                       arg_min(c._key, {best}) as _key
                from claims as c join (select founder, founder_was from heads) as h using (founder) group by c.founder""",
        )
        self.relations.make(
            "fresh_ones",
            f"""select h.founder, h.dataset, h._key, draws,
                       case when k.entity_id is null then 0 else coalesce(often, 0) + 1 end as founding
                from (from heads anti join winners using (founder)) as h
                left join (select distinct entity_id from (
                    select was as entity_id from touched union all select entity_id from identities_before
                    union all select entity_id from {self.ever} semi join (select draws as entity_id from heads)
                    using (entity_id))) as k
                on k.entity_id = h.draws
                left join (select founded_by, max(founding) as often from identities_before group by founded_by) as o
                on o.founded_by = h.founder""",
        )
        self.relations.make(
            "given",
            f"""select founder, entity_id, false as created, dataset, _key, 0 as founding from winners
                union all
                select founder, case when founding = 0 then draws else {again} end, true, dataset, _key, founding
                from fresh_ones as g""",
        )

    def _keep(self) -> None:
        """Make `identities_now` and `moved`."""
        self.relations.make(
            "moved",
            """select t.dataset, t._key, was as old, g.entity_id as new, not created as known, turned
               from touched as t join (select founder, entity_id, created from given) as g using (founder)
               where was is not null and was != g.entity_id""",
        )
        self.relations.make(
            "identities_now",
            """from identities_before anti join (select entity_id from founding) using (entity_id)
               union all by name
               select g.entity_id, founded_by, f.founding, g.dataset, g._key, 'living' as state, []::varchar[] as went_to
               from founding as f join given as g using (entity_id)
               where kept or f.founding > 0 or founded_by != g.founder or g.dataset || '/' || g._key != g.founder
               union all by name
               select entity_id, founder as founded_by, founding, dataset, _key, 'living' as state, []::varchar[] as went_to
               from given where created and founding > 0
               union all by name
               select f.entity_id, founded_by, founding, null::varchar as dataset, null::varchar as _key, 'retired' as state,
                      coalesce(others, []::varchar[]) as went_to
               from (from founding anti join (select entity_id from given) using (entity_id)) as f
               left join (select old as entity_id, list(distinct new order by new) as others from moved where not turned
                          group by old) using (entity_id)""",
        )

    def check(self) -> None:
        """Stop where an id would be two persons', two ids one person's, or one is used again.

        Raises:
            InternalError: The invariant does not hold. Nothing is committed.
        """
        broken = {
            "an id is given to two persons": "select entity_id from given group by entity_id having count(*) > 1",
            "an id is given that another person has": "select entity_id from (select distinct founder, entity_id from drawn "
            "semi join (select entity_id from given) using (entity_id)) anti join given using (founder)",
            "a retired id is used again": "select entity_id from given semi join "
            "(from identities_before where state = 'retired') using (entity_id)",
            "a new person has an id that was another's": "select g.entity_id from (from given where created) as g semi join "
            "(select was as entity_id from touched union all select entity_id from identities_before) using (entity_id)",
            "a record founds two persons": "select 1 from (from identities_now where state = 'living') "
            "group by dataset, _key having count(*) > 1",
            "a record's founding is counted twice": "select 1 from identities_now group by founded_by, founding "
            "having count(*) > 1",
            "a person is nowhere": "select entity_id from founding anti join (select entity_id from given) using (entity_id) "
            "anti join (from identities_now where state = 'retired') using (entity_id)",
            "a group has no id": "select founder from touched anti join given using (founder) where founder is not null",
        }
        for what, query in broken.items():
            if count := self.relations.fetch_one(f"select count(*) from ({query})")[0]:
                raise InternalError(
                    f"{what} ({count:,})",
                    where=self.entity,
                    next_step="report this with the run's id: nothing of the run is kept or published.",
                )
