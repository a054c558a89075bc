"""What a linking leaves, written for the lake: links with the persons' ids, pairs, reviews, ids that are not plain, numbers.

Of each table that is there already, what changed alone is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from motlan import ids
from motlan.config.matching import Matching
from motlan.expressions import constant, literal
from motlan.lake.iceberg import SCRATCH, changes, created, current, read_parquet, staging
from motlan.lake.tables import (
    KEYS,
    LINKS,
    identities_table,
    links_table,
    pairs_table,
    reviews_table,
)
from motlan.ledger import runs
from motlan.linking import person_ids, repurposed_records
from motlan.linking.deterministic import DECIDED
from motlan.linking.link_rows import Linking
from motlan.linking.numbers import Histories, Numbers
from motlan.linking.relations import Relations
from motlan.workspace import Workspace

KEY = KEYS[LINKS]
COLUMNS = (
    "_ref",
    "entity_id",
    "founder",
    "compared",
    "compared_ref",
    "rule",
    "match_weight",
    "probability",
    "_link_version",
)
"""Columns of `links.<entity>` beside its key. `founder` is `dataset/key` of the row that founded the person, `compared` of
the row that this one was compared with (itself, of a founder)."""
REVIEW_COLUMNS = ("_ref", "other_dataset", "other_key", "other_ref", "match_weight", "probability", "reason")
"""Columns of `reviews.<entity>` beside its key. `reason` is a declared doubt, or `former_rows.FORMER_NUMBER`; null of a pair that
is merely not probable enough."""
FOUNDER, PROVISIONAL_FOUNDER, DUPLICATE = "founder", "provisional founder", "duplicate"
"""Rules of a row that founds its person, on the spine or beside it, and of one of the spine that is another's."""


class Files:
    """The files that a linking keeps in its run's scratch folder, and those that it writes for the lake."""

    def __init__(self, work: Workspace, run: str, relations: Relations, buckets: int = 1) -> None:
        self.work, self.run, self.relations, self.buckets = work, run, relations, buckets

    def keep(self, name: str, *queries: str) -> None:
        """Put rows into files by a name: many of them, so that they shall not stand in memory."""
        folder = self.folder(name)
        for place, query in enumerate(queries):
            self._copy(query, folder / f"{place:06d}.parquet", SCRATCH)
        self.show(name)

    def keep_in_buckets(self, name: str, query: str) -> None:
        """Do it with rows that have a `bucket`, those of each one together."""
        if self.buckets == 1:
            self.keep(name, query)
            return
        self._copy(f"select *, bucket as part from ({query})", self.folder(name), f"{SCRATCH}, partition_by (part)")
        self.show(name)

    def folder(self, name: str) -> Path:
        """Make an empty folder for what is kept by a name."""
        folder = self.work.scratch(self.run) / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def show(self, name: str) -> None:
        """Show what is kept by a name as a relation of that name."""
        self.relations.show(name, f"from {self.work.kept(self.run, name)}")

    def write(self, table: str, query: str, number: int = 0) -> Path:
        """Write rows for the lake, into one of a table's files; return its path."""
        target = self.work.lake.staged_file(table, self.run, number)
        self.relations.engine.execute(staging(query, self.run, target))
        return target

    def write_changes(self, name: str, table: str, query: str) -> int:
        """Write for the lake what changed, as a relation of that name; return how many rows did."""
        self.relations.make(name, query)
        count: int = self.relations.fetch_one(f"select count(*) from {name}")[0]
        if count:
            self.write(table, f"from {name}")
        return count

    def _copy(self, query: str, target: Path, how: str) -> None:
        self.relations.engine.execute(f"copy ({query}) to {literal(str(target))} ({how})")


class Results:
    """What came of a linking, written for the lake.

    Args:
        work: The open installation.
        run: A reconcile run.
        published: The reconcile runs published before.
        inputs: Dataset -> the sync runs to read.
        linking: The linking, done.
        files: Where it keeps files.
    """

    def __init__(
        self,
        work: Workspace,
        run: runs.Run,
        published: set[str],
        inputs: dict[str, list[str]],
        linking: Linking,
        files: Files,
    ) -> None:
        self.work, self.run, self.published, self.inputs = work, run, published, inputs
        self.linking, self.files = linking, files
        self.relations, self.entity, self.former = files.relations, run.subject, linking.former
        self.matching: Matching = linking.matching

    def write(self, version: str) -> runs.Counts:
        """Write everything; return its counts (see `motlan.linking.link`). Keeps `links`, and `went` where links were there."""
        pairs = self._write_pairs(version)
        self._name_rows()
        if before := self.work.lake.files(links_table(self.entity), self.published):
            changed = self._write_changed_links(version, before)
        else:
            changed = self._write_first_links(version)
        by_rule = dict(self.relations.fetch("select rule, count(*) from links group by rule order by rule"))
        rows, persons, wrong = self.relations.fetch_one(
            f"""select count(*), count(*) filter (rule in ('{FOUNDER}', '{PROVISIONAL_FOUNDER}')),
                       coalesce(sum(1 - probability), 0) from links"""
        )
        facts = self.work.facts(self.entity, self.inputs)
        Numbers(self.files, self.run.subject, self.published, self.matching).write(
            Histories("former_rows", "former_persons", "current_rows", lambda _: facts) if self.former else None,
            "links",
        )
        return {
            "rows": rows,
            "persons": persons,
            "changed": changed,
            "by_rule": by_rule,
            "reviews": self._write_reviews(),
            "pairs": pairs,
            "expected_wrong": round(wrong, 3),
        }

    def _count(self, relation: str) -> int:
        return int(self.relations.fetch_one(f"select count(*) from {relation}")[0])

    def _write_pairs(self, version: str) -> int:
        """Write the pairs that were weighed now, and drop them; return how many they are."""
        # What an earlier row of a record weighs is weighed anew each time: it is no current row, and there are few.
        current_pairs = "scored_pairs"
        if self.former:
            current_pairs += " anti join (select n as other from former_rows) as former using (other)"
        pairs = self._count(current_pairs)
        if pairs:
            query = f"select *, {constant(version)} as _link_version from {current_pairs}"
            self.files.write(pairs_table(self.entity), query)
        self.linking.relations.close(keep={*self.linking.results} - {"scored_pairs"})
        return pairs

    def _name_rows(self) -> None:
        """Make what links are written from.

        - `all_links`: `row_links` and `duplicates`;
        - `indirect_links`: those of them with a row that is not the spine's founder of the person;
        - `named_rows`: dataset, key and `_ref` of the few rows that no bucket's links name;
        - `links_between_buckets`: kept in files, of rows that were linked to a founder in another bucket.
        """
        self.relations.show(
            "all_links",
            f"""select n, person, compared, rule, match_weight, probability, bucket from row_links union all
                select n, person, person, case when match_weight is null then '{DECIDED}' else '{DUPLICATE}' end, match_weight,
                       probability, null from duplicates""",
        )
        self.relations.make(
            "indirect_links",
            "from all_links where person != compared or compared in (select n from provisional_founders)",
        )
        rows = "select n, dataset, _key, _ref from"
        known = f"({rows} current_rows union all {rows} former_rows)" if self.former else "current_rows"
        self.relations.make(
            "named_rows",
            f"""select n, dataset, _key, _ref from {known} as known semi join (
                    select n from provisional_founders union select n from indirect_links
                    union select person from indirect_links union select compared from indirect_links
                    union select n from review_pairs union select other from review_pairs) as few
                using (n)""",
        )
        self.files.keep(
            "links_between_buckets",
            """select dataset, _key, _ref, compared, rule, match_weight, probability
               from (from all_links where bucket is null) as far anti join indirect_links using (n)
               join current_rows using (n)""",
        )

    def _write_first_links(self, version: str) -> int:
        """Write the first links for the lake, and show them as `links` too; return how many they are."""
        folder = self.files.folder("links")
        for place, query in enumerate(self._links(version)):
            links = created(f"({query})", KEY, COLUMNS)
            written = self.files.write(links_table(self.entity), links, place)
            (folder / written.name).symlink_to(written)
        self.files.show("links")
        return self._count("links")

    def _write_changed_links(self, version: str, before: list[str]) -> int:
        """Keep all links as `links`, and write for the lake in what they differ from those before; return how many do.

        Which id a person has is said by `motlan.linking.person_ids`. Rows that went from one to another are kept as `went`.
        """
        links = self.work.lake.base_and_deltas(links_table(self.entity), self.published)
        self.relations.make("previous", f"select {', '.join((*KEY, *COLUMNS))} from {current(links, KEY)}")
        self.files.keep("drawn", *self._links(version))
        self._write_identities(before)
        others = ", ".join(name for name in (*KEY, *COLUMNS) if name != "entity_id")
        self.files.keep(
            "links",
            f"""select {others}, coalesce(given_id, entity_id) as entity_id from drawn
                left join (select founder, entity_id as given_id from given) as given using (founder)""",
        )
        self.files.keep("went", "from moved")
        query = changes("links", "previous", KEY, COLUMNS)
        return self.files.write_changes("changed_links", links_table(self.entity), query)

    def _write_identities(self, before: list[str]) -> None:
        """Give every group of `drawn` its id, and write for the lake what changed of the ids that are not plain."""
        table = identities_table(self.entity)
        secret = self.work.store.secret("person ids")
        datasets = [dataset.name for dataset in self.work.registry.datasets_of(self.entity)]
        step = person_ids.Identities(self.relations, secret, self.entity, datasets, read_parquet(before))
        columns = ", ".join((*person_ids.KEY, *person_ids.COLUMNS))
        files = self.work.lake.base_and_deltas(table, self.published)
        known = f"select {columns} from {current(files, person_ids.KEY)}" if files else person_ids.NOBODY
        self.relations.make("identities_before", known)
        step.find_met()
        rows = self.work.accepted(self.entity, self.inputs)
        repurposed_records.find_turned(self.relations, self.matching, self.linking.model, rows, read_parquet(before))
        step.assign()
        step.check()
        changed = changes("identities_now", "identities_before", person_ids.KEY, person_ids.COLUMNS)
        self.files.write_changes("changed_identities", table, changed)

    def _links(self, version: str) -> Iterator[str]:
        """Give the SQL, query by query, of every row with its person, and what it was compared with.

        A person's id is drawn by a keyed hash of the row that founded the person. Most rows were compared with the spine's row
        that founded their person, in one bucket with it or between buckets; the others are in `indirect_links`, or founders.
        """
        secret = self.work.store.secret("person ids")
        datasets = [dataset.name for dataset in self.work.registry.datasets_of(self.entity)]

        def person(founder: str) -> str:
            return f"{ids.of_record(secret, self.entity, datasets, founder)} as entity_id"

        values = "rule, match_weight, probability"
        columns = f"entity_id, founder, compared, compared_ref, {values}, {constant(version)} as _link_version"
        own, theirs, others = (f"{row}dataset || '/' || {row}_key" for row in ("", "theirs.", "others."))
        for bucket in range(self.files.buckets):
            spine, left = (f"(from {rows} where bucket = {bucket})" for rows in ("kept_spine", "kept_left"))
            yield f"""
                with founders as materialized (
                    select n, dataset, _key, _ref, {own} as founder, {person("")} from {spine})
                select dataset, _key, _ref, {columns} from (
                    select mine.dataset, mine._key, mine._ref, entity_id, founder, founder as compared,
                           founders._ref as compared_ref, {values}
                    from (from row_links where bucket = {bucket}) as near anti join indirect_links using (n)
                    join {left} as mine using (n) join founders on founders.n = near.compared
                    union all
                    select far.dataset, far._key, far._ref, entity_id, founder, founder, founders._ref, {values}
                    from links_between_buckets as far join founders on founders.n = far.compared
                    union all
                    select dataset, _key, _ref, entity_id, founder, founder, _ref, '{FOUNDER}', null, null
                    from founders anti join duplicates using (n))"""
        yield f"""
            select dataset, _key, _ref, {columns} from (
                select mine.dataset, mine._key, mine._ref, {person("theirs.")}, {theirs} as founder, {others} as compared,
                       others._ref as compared_ref, {values}
                from indirect_links as made join named_rows as mine using (n) join named_rows as theirs on theirs.n = made.person
                join named_rows as others on others.n = made.compared
                union all
                select dataset, _key, _ref, {person("")}, {own}, {own}, _ref, '{PROVISIONAL_FOUNDER}', null, null
                from named_rows semi join provisional_founders using (n))"""

    def _write_reviews(self) -> int:
        self.relations.make(
            "reviews_now",
            """select l.dataset, l._key, l._ref, r.dataset as other_dataset, r._key as other_key, r._ref as other_ref,
                      match_weight, probability, reason
               from review_pairs as pairs join named_rows as l using (n) join named_rows as r on r.n = pairs.other""",
        )
        files = self.work.lake.base_and_deltas(reviews_table(self.entity), self.published)
        columns = ", ".join((*KEY, *REVIEW_COLUMNS))
        old = f"select {columns} from {current(files, KEY)}" if files else "from reviews_now where false"
        self.relations.make("reviews_before", old)
        query = changes("reviews_now", "reviews_before", KEY, REVIEW_COLUMNS)
        self.files.write_changes("changed_reviews", reviews_table(self.entity), query)
        return self._count("reviews_now")
