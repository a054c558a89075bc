"""What the linking of what changed leaves, written for the lake, and whom it touches.

It is read and written like the linking of all rows (`motlan.linking.persist`), of the persons whose rows were linked anew alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from motlan import ids
from motlan.expressions import constant
from motlan.lake.iceberg import changes, current, read_parquet
from motlan.lake.tables import identities_table, links_table, reviews_table, row_keys_table
from motlan.ledger import runs
from motlan.ledger.results import Linked
from motlan.linking import person_ids, repurposed_records, row_keys
from motlan.linking.link_changed import ChangedLinking, narrow_to_records
from motlan.linking.numbers import Histories, Numbers
from motlan.linking.persist import COLUMNS, FOUNDER, KEY, PROVISIONAL_FOUNDER, REVIEW_COLUMNS, Files

TOUCHED = "touched_ids"
"""What an incremental linking leaves in its run's scratch folder of the persons that it touches: their ids."""


@dataclass(frozen=True)
class ChangedResults:
    """What came of a linking of what changed, written for the lake.

    Attributes:
        step: The linking, done.
        run: The reconcile run.
        files: Where it keeps files.
        before: What the previous run's linking returned.
    """

    step: ChangedLinking
    run: runs.Run
    files: Files
    before: Linked

    def write(self, version: str) -> runs.Counts:
        """Write everything; return its counts. Keeps `links` (of the touched persons), `touched` and `went`."""
        relations, entity = self.step.relations, self.step.entity
        self._draw(version)
        self._write_identities()
        others = ", ".join(name for name in (*KEY, *COLUMNS) if name != "entity_id")
        relations.make(
            "links_now",
            f"""select {others}, coalesce(given_id, entity_id) as entity_id from drawn
                left join (select founder, entity_id as given_id from given) as given using (founder)""",
        )
        self.files.keep("went", "from moved")
        query = changes("links_now", "previous", KEY, COLUMNS)
        changed = self.files.write_changes("changed_links", links_table(entity), query)
        records = "(select dataset, _key from changed_links) as changed using (dataset, _key)"
        relations.make(
            "touched_persons",
            f"""select entity_id from links_now semi join {records}
                union select entity_id from previous semi join {records}""",
        )
        self.files.keep(TOUCHED, "from touched_persons")
        self.files.keep("links", "from links_now semi join touched_persons using (entity_id)")
        reviews = self._write_reviews()
        self._write_numbers()
        self._write_row_keys()
        return {**self._totals(), "changed": changed, "reviews": reviews, "pairs": 0}

    def _draw(self, version: str) -> None:
        """Make `previous`, the links before of all persons with a row that was linked anew, and `drawn`, those of now."""
        relations, step = self.step.relations, self.step
        own = "{0}.dataset || '/' || {0}._key"
        columns = "rule, match_weight, probability"
        relations.make(
            "drawn_anew",
            f"""select mine.dataset, mine._key, mine._ref, {own.format("theirs")} as founder, {own.format("others")} as compared,
                       others._ref as compared_ref, {columns}, {constant(version)} as _link_version
                from outcomes as made join named_rows as mine using (n) join named_rows as theirs on theirs.n = made.person
                join named_rows as others on others.n = made.compared""",
        )
        relations.make(
            "linked_before",
            "select entity_id, founder from links_before semi join keys_linked_anew using (dataset, _key)",
        )
        relations.make(
            "previous",
            f"""select {", ".join((*KEY, *COLUMNS))} from links_before where entity_id in (select entity_id from linked_before)
                or founder in (select founder from linked_before union select founder from drawn_anew)""",
        )
        secret = step.work.store.secret("person ids")
        datasets = [dataset.name for dataset in step.work.registry.datasets_of(step.entity)]
        kept = ", ".join((*KEY, "_ref", "founder", "compared", "compared_ref", columns, "_link_version"))
        relations.make(
            "drawn",
            f"""with rows as (
                    select {kept} from drawn_anew
                    union all select {kept} from previous anti join keys_linked_anew using (dataset, _key)),
                founders as (
                    select founder, split_part(founder, '/', 1) as dataset,
                           substring(founder, length(split_part(founder, '/', 1)) + 2) as _key
                    from (select distinct founder from rows)),
                named as (select founder, {ids.of_record(secret, step.entity, datasets)} as entity_id from founders)
                select rows.*, named.entity_id from rows join named using (founder)""",
        )

    def _write_identities(self) -> None:
        """Give every group of `drawn` its id, and write for the lake what changed of the ids that are not plain."""
        step, relations = self.step, self.step.relations
        table = identities_table(step.entity)
        secret = step.work.store.secret("person ids")
        datasets = [dataset.name for dataset in step.work.registry.datasets_of(step.entity)]
        published = read_parquet(step.work.lake.files(links_table(step.entity), set(step.before.runs)))
        identities = person_ids.Identities(relations, secret, step.entity, datasets, published)
        columns = ", ".join((*person_ids.KEY, *person_ids.COLUMNS))
        files = step.work.lake.base_and_deltas(table, set(step.before.runs))
        known = f"select {columns} from {current(files, person_ids.KEY)}" if files else person_ids.NOBODY
        relations.make("identities_before", known)
        identities.find_met()
        rows = step.narrow.accepted(step.entity, step.inputs)
        repurposed_records.find_turned(relations, step.matching, step.model, rows, published)
        identities.assign()
        identities.check()
        changed = changes("identities_now", "identities_before", person_ids.KEY, person_ids.COLUMNS)
        self.files.write_changes("changed_identities", table, changed)

    def _write_reviews(self) -> int:
        """Write what changed of the reviews of rows that were linked anew; return how many reviews there are now."""
        step, relations = self.step, self.step.relations
        relations.make(
            "reviews_now",
            """select l.dataset, l._key, l._ref, r.dataset as other_dataset, r._key as other_key, r._ref as other_ref,
                      match_weight, probability, reason
               from reviews_of_touched as pairs join named_rows as l using (n) join named_rows as r on r.n = pairs.other""",
        )
        files = step.work.lake.base_and_deltas(reviews_table(step.entity), set(step.before.runs))
        columns = ", ".join((*KEY, *REVIEW_COLUMNS))
        mine = "semi join keys_linked_anew using (dataset, _key)"
        old = f"select {columns} from {current(files, KEY)} {mine}" if files else "from reviews_now where false"
        relations.make("reviews_before", old)
        query = changes("reviews_now", "reviews_before", KEY, REVIEW_COLUMNS)
        self.files.write_changes("changed_reviews", reviews_table(step.entity), query)
        return self.before.reviews + step.count("reviews_now") - step.count("reviews_before")

    def _write_numbers(self) -> None:
        step = self.step
        numbers = Numbers(self.files, step.entity, step.before.runs, step.matching)
        if not step.former:
            numbers.write(None, "links_now")
            return
        records = "(select distinct dataset, _key from histories) as told using (dataset, _key)"
        if step.former:
            rows = f"""(select dataset, _key, entity_id from links_now union all
                select dataset, _key, entity_id from links_before semi join {records}
                anti join (select dataset, _key from previous) as mine using (dataset, _key))"""
            rows = step.relations.make("links_of_histories", f"from {rows}")
        numbers.write(Histories("earlier_rows", "former_persons_now", "rows_now", self._facts), rows)

    def _facts(self, records: str) -> str:
        """Return the SQL of the current rows of records that came after others."""
        step = self.step
        wanted = f"(select new_dataset as dataset, new_key as _key from {records})"
        folder = step.folder.with_name("successors")
        narrow = narrow_to_records(step.work, step.engine, step.entity, step.inputs, wanted, folder)
        return narrow.facts(step.entity, step.inputs)

    def _write_row_keys(self) -> None:
        """Write for the lake how current rows changed, as they are found."""
        step = self.step
        columns = ", ".join((*row_keys.columns(step.matching, step.keys), *row_keys.hashes(step.matching, "r")))
        self.files.write_changes(
            "changed_rows",
            row_keys_table(step.entity),
            f"""select {columns}, 'updated' as _op, []::varchar[] as _changed
                from changed_now semi join changed_numbers using (n)
                union all by name
                select {columns}, 'removed' as _op, []::varchar[] as _changed from changed_before
                semi join changed_numbers using (n) anti join (select n from changed_now) as now using (n)""",
        )

    def _totals(self) -> runs.Counts:
        """Return what all links come to: what they came to before, and what changed."""
        fetch = self.step.relations.fetch
        by_rule = dict(self.before.by_rule)
        wrong = self.before.expected_wrong
        for relation, sign in (("previous", -1), ("links_now", 1)):
            for rule, number, doubt in fetch(
                f"select rule, count(*), coalesce(sum(1 - probability), 0) from {relation} group by rule order by rule"
            ):
                by_rule[rule] = by_rule.get(rule, 0) + sign * number
                wrong += sign * doubt
        founders = (FOUNDER, PROVISIONAL_FOUNDER)
        return {
            "rows": sum(by_rule.values()),
            "persons": sum(by_rule.get(rule, 0) for rule in founders),
            "by_rule": {rule: number for rule, number in sorted(by_rule.items()) if number},
            "expected_wrong": round(wrong, 3),
        }
