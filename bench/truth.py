"""What became of damaged and of clean values, against the generator's truth.

Words used here:

- A *value* is a filled raw cell of a landed row, quarantined rows included. It is *damaged* where `truth/dirt.parquet`
  says so, else *clean*.
- A damaged value of a repairable kind is *repaired* when its canonical value equals what the same mapping makes of the
  undamaged row. The canonical field is the one that the kind's group feeds: see `FIELD_OF`.
- A canonical value whose raw columns are all clean is *harmed* when it is not what `truth/persons.parquet` says. A place
  whose former commune was divided is not assessed: which part it was, nothing in the row says. How often the default
  successor is right is a figure of its own, `divided_right_share`.
- Names that no world is made of (`simulators/held_out_names.py`: of ethnic groups and of foreigners) are clean values too:
  `harmed_share` counts them once in each run, beside the register's own, and they are figures of their own.
- A kind is *to be found* by a row rule where the row alone betrays it: see `FOUND_BY`. Kinds that only another register
  or another row betrays (a wrong digit, somebody else's number, a swapped date) belong to the cross-register rules and
  are not counted here. A defect is found when one of its rules fails on the row.
- A finding is *false* when the field that it names is filled and no raw column that the rule reads, directly or through
  the mapping, is damaged. What a register declares itself (`DECLARED`) is no defect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import yaml

from motlan.config.quality import RowRule
from motlan.config.registry import Dataset
from motlan.expressions import DUCKDB, literal, one, parse, quote
from motlan.ingest.clean import select_canonical
from motlan.ingest.raw_columns import IN_RULES, stored
from motlan.quality import row_rules
from simulators.dirt import DIRT_FILE
from simulators.held_out_names import names

FIELD_OF = {
    "id": ("personal_id",),
    "name": ("full_name",),
    "date": ("birth_date",),
    "sex": ("sex",),
    "identity": ("personal_id", "full_name", "birth_date"),
    "place": ("residence_commune", "residence_province"),
}
"""Group of kinds in `dirt.yaml` -> canonical fields; the first that reads the damaged column is scored."""

_NAME = ("name_canonical",)
FOUND_BY: dict[str, tuple[str, ...]] = {
    "id_missing": ("personal_id_present",),
    "id_cmnd": ("personal_id_present",),
    "id_leading_zero": ("personal_id_clean", "personal_id_readable"),
    "id_punctuated": ("personal_id_clean",),
    "id_spreadsheet": ("personal_id_not_rounded",),
    "name_nfd": _NAME,
    "name_new_tone": _NAME,
    "name_upper": _NAME,
    "name_tcvn3": _NAME,
    "name_vni": _NAME,
    "name_viqr": _NAME,
    "name_mojibake": _NAME,
    "name_double_space": _NAME,
    "name_trailing_blank": _NAME,
    "name_invisible": _NAME,
    "name_no_diacritics": ("name_has_marks",),
    "name_lost_letters": ("name_letters",),
    "date_year_only": ("birth_date_precise",),
    "date_zeros": ("birth_date_precise",),
    "date_stand_in": ("birth_date_no_stand_in",),
    "date_impossible": ("birth_date_possible", "birth_date_present"),
    "identity_lost": ("linkable", "name_present", "name_letters"),
    "sex_wrong": ("personal_id_agrees_with_sex",),
    "place_old_code": ("commune_current",),
    "place_old_code_split": ("commune_current",),
    "place_unknown_code": ("commune_known",),
}
"""Kind of dirt -> beginnings of the names of the row rules that should find it."""

BESIDE = {"sex_wrong": "personal_id"}
"""Kind -> the field that its rule compares with: counted where that is filled and clean."""

DECLARED = ("taxpayer_verified",)
"""Rules whose findings repeat what a register says of itself."""

TRUTH = {
    "personal_id": "personal_id",
    "old_identity_number": "cmnd",
    "full_name": "full_name",
    "birth_date": "strftime(birth_date, '%Y-%m-%d')",
    "sex": "sex",
    "residence_commune": "residence_commune",
    "residence_province": "residence_province",
    "death_date": "strftime(death_date, '%Y-%m-%d')",
    "tax_code": "tax_code",
    "social_insurance_code": "social_insurance_code",
    "health_card_number": "health_card",
    "education_id": "education_id",
}
"""Canonical field -> SQL over `truth/persons.parquet`."""

HELD_OUT = "held out full_name"
"""What stands for a field where the names that no world is made of are counted."""

REFORM = "2025-07-01"
"""The day from which a commune's code means a commune of July 2025."""

_SPEC: dict[str, Any] = yaml.safe_load(DIRT_FILE.read_text(encoding="utf-8"))["kinds"]


@dataclass
class Score:
    """Sums over all chunks.

    Attributes:
        kinds: Kind -> values, repaired, values to be found, found.
        clean: Canonical field -> clean values assessed, harmed.
        values: Canonical field -> clean values, those with a false finding.
        rules: Rule -> false findings.
        divided: Clean places of before the reform whose commune was divided, and those whose default successor is right.
    """

    kinds: dict[str, list[int]] = field(default_factory=dict)
    clean: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, list[int]] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    divided: list[int] = field(default_factory=lambda: [0, 0])

    def figures(self) -> dict[str, float | None]:
        """Return the shares; None where there was nothing to count."""
        repairable = [sums for kind, sums in self.kinds.items() if _SPEC[kind]["repairable"]]
        return {
            "repaired_share": _share(sum(s[1] for s in repairable), sum(s[0] for s in repairable)),
            "held_out_names": self.clean.get(HELD_OUT, [0, 0])[0],
            "held_out_names_harmed": self.clean.get(HELD_OUT, [0, 0])[1],
            "harmed_share": _share(sum(s[1] for s in self.clean.values()), sum(s[0] for s in self.clean.values())),
            "defect_recall": _share(sum(s[3] for s in self.kinds.values()), sum(s[2] for s in self.kinds.values())),
            "false_finding_share": _share(
                sum(s[1] for s in self.values.values()), sum(s[0] for s in self.values.values())
            ),
            "divided_right_share": _share(self.divided[1], self.divided[0]),
        }

    def table(self) -> dict[str, dict[str, Any]]:
        """Return kind -> its sums and shares."""
        return {
            kind: {
                "values": values,
                "repairable": _SPEC[kind]["repairable"],
                "repaired": repaired if _SPEC[kind]["repairable"] else None,
                "repaired_share": _share(repaired, values) if _SPEC[kind]["repairable"] else None,
                "expected": ", ".join(FOUND_BY.get(kind, ())),
                "to_find": to_find,
                "found": found,
                "recall": _share(found, to_find),
            }
            for kind, (values, repaired, to_find, found) in sorted(self.kinds.items())
        }

    def unexplained(self) -> dict[str, int]:
        """Return rule -> false findings, those with some."""
        return {name: count for name, count in sorted(self.rules.items()) if count}

    def add(self, sums: dict[str, list[int]], key: str, numbers: Iterable[int]) -> None:
        """Add numbers to a row of sums."""
        old = sums.get(key)
        new = list(numbers)
        sums[key] = [a + b for a, b in zip(old, new, strict=True)] if old else new


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def score_held_out(engine: duckdb.DuckDBPyConnection, score: Score) -> None:
    """Add the names that no world is made of, and those that the cleaning of names would change."""
    cleaned = parse("person_name(name)").sql(DUCKDB)
    given = [name for _, name in names()]
    harmed = f"select count(*) from (select unnest($1::varchar[]) as name) where {cleaned} is distinct from name"
    score.add(score.clean, HELD_OUT, (len(given), one(engine, harmed, [given])[0]))


class Truth:
    """Scores the chunks of one dataset, one after the other: `load`, then `score`.

    Args:
        engine: Where it works, with the code lists loaded.
        dataset: Whose rows they are.
        rules: The row rules that are asked.
        codes: Folder of the code lists.
        folder: Folder of the truth: `rows`, `persons` and `dirt`, a file for each range of people.
    """

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        dataset: Dataset,
        rules: Sequence[RowRule],
        codes: Path,
        folder: Path,
    ) -> None:
        self.engine, self.dataset, self.rules, self.folder, self.range = engine, dataset, rules, folder, "*"
        engine.execute(
            f"""create or replace temp table divided as
                select distinct code from read_csv({literal(str(codes / "communes.csv"))}, all_varchar = true)
                where valid_to <= {literal(REFORM)} and contains(successors, ';')"""
        )
        self.reads = {name: self._columns(dataset.expressions[name].fields) for name in dataset.fields}
        found = engine.execute(f'select distinct "column" from {self._dirt()}').fetchall()
        self.hit = sorted(row[0] for row in found)

    def _truth(self, table: str) -> str:
        return f"read_parquet({literal(str(self.folder / table / f'{self.range}.parquet'))}, hive_partitioning = false)"

    def _dirt(self) -> str:
        mine = f"dataset = {literal(self.dataset.name)} and day = 0"
        return f'(from {self._truth("dirt")} where {mine} and "column" != {literal(self.dataset.key)})'

    def load(self, of_range: str, landed: Path, query: str) -> int:
        """Clean and check a landed file of a range of people once more: `raw_rows` and `tagged`. Return its rows."""
        self.range = of_range
        row_rules.show_raw(self.engine, self.dataset, [str(landed)])
        dropped = ", ".join(quote(stored(column)) for column in self.dataset.columns)
        self.engine.execute(f"create or replace temp table tagged as select * exclude ({dropped}) from ({query})")
        return int(one(self.engine, "select count(*) from tagged")[0])

    def _columns(self, names: Iterable[str]) -> frozenset[str]:
        """Return the raw columns behind raw columns and canonical fields."""
        found: set[str] = set()
        for name in names:
            plain = name.removeprefix(IN_RULES)
            if name in self.dataset.columns or name.startswith(IN_RULES):
                found.add(plain)
            elif name in self.dataset.fields:
                found |= self._columns(self.dataset.expressions[name].fields)
        return frozenset(found)

    def _main(self, name: str) -> str:
        """Return the raw column that a field's expression names first."""
        for word in re.findall(r"\w+", self.dataset.fields[name]):
            if word in self.dataset.columns:
                return str(word)
            if word in self.dataset.fields and word != name:
                return self._main(word)
        return self.dataset.key

    def _unhurt(self, columns: Iterable[str]) -> str:
        hit = [f"not {quote('_hit_' + column)}" for column in sorted(columns) if column in self.hit]
        return f"({' and '.join(hit)})" if hit else "true"

    def score(self, score: Score) -> None:
        """Add the loaded chunk's sums to the score."""
        self._join()
        self._score_fields(score)
        self._score_kinds(score)

    def _join(self) -> None:
        """Make `scored`: per row canonical fields, `_true_*` by the same mapping, `_is_*` of the person, `_hit_*`."""
        engine, data = self.engine, self.dataset
        engine.execute(
            f"create or replace temp table hurt as select * from {self._dirt()} where key in (select _key from raw_rows)"
        )
        hits = ", ".join(
            f'max(truth) filter ("column" = {literal(c)}) as {quote("_was_" + c)}, '
            f'bool_or("column" = {literal(c)}) as {quote("_hit_" + c)}'
            for c in self.hit
        )
        engine.execute(
            f"create or replace temp table hits as select key as _key{', ' + hits if hits else ''} from hurt group by key"
        )
        undone = ", ".join(
            f"case when {quote('_hit_' + c)} then {quote('_was_' + c)} else {quote(stored(c))} end as {quote(stored(c))}"
            for c in self.hit
        )
        replaced = f" replace ({undone})" if undone else ""
        gone = ", ".join(quote(mark + c) for c in self.hit for mark in ("_was_", "_hit_"))
        engine.execute(
            f"""create or replace temp table real_rows as
                select *{f" exclude ({gone})" if gone else ""}{replaced} from raw_rows left join hits using (_key)"""
        )
        engine.execute("create or replace temp view raw_rows as from real_rows")
        truth = ", ".join(f"{quote(name)} as {quote('_true_' + name)}" for name in data.fields)
        mains = ", ".join(
            f"{quote(stored(self._main(name)))} is not null as {quote('_has_' + name)}" for name in data.fields
        )
        place = quote(stored(self._main("residence_commune")))
        mains += f", _moment < {literal(REFORM)} and {place} in (from divided) as _divided"
        persons = ", ".join(f"{TRUTH[name]} as {quote('_is_' + name)}" for name in data.fields if name in TRUTH)
        marks = ", ".join(f"coalesce({quote('_hit_' + c)}, false) as {quote('_hit_' + c)}" for c in self.hit)
        engine.execute(
            f"""create or replace temp table scored as
                with known as (select key as _key, {persons}
                    from {self._truth("rows")} r join {self._truth("persons")} p
                      on p.true_id = r.true_id and p.valid_from_day = 0
                    where r.dataset = {literal(data.name)} and r.valid_from_day = 0 and key in (select _key from raw_rows))
                select tagged.*, true_rows.* exclude (_ref), known.* exclude (_key){", " + marks if marks else ""}
                from tagged join (select _ref, {truth}, {mains} from ({select_canonical(data)})) true_rows using (_ref)
                left join known using (_key) left join hits using (_key)"""
        )
        engine.execute("drop view raw_rows; drop table real_rows; drop table hits")

    def _score_fields(self, score: Score) -> None:
        for name in self.dataset.fields:
            clean = f"{self._unhurt(self.reads[name])} and {quote('_has_' + name)}"
            if name in FIELD_OF["place"]:
                clean += " and _divided is not true"
            own = [rule for rule in self.rules if rule.field == name and rule.name not in DECLARED]
            false = {
                r.name: f"({quote('_rule_' + r.name)} is false and {self._unhurt(self._columns(r.parsed.fields))})"
                for r in own
            }
            known = name in TRUTH and (name == "personal_id" or self._main(name) != self._main("personal_id"))
            harmed = f"{quote(name)} is distinct from {quote('_is_' + name)}" if known else "false"
            counts = [f"count(*) filter ({clean})", f"count(*) filter ({clean} and {harmed})"]
            counts += [f"count(*) filter ({clean} and ({' or '.join(false.values()) or 'false'}))"]
            counts += [f"count(*) filter ({clean} and {condition})" for condition in false.values()]
            values, hurt, wrong, *by_rule = one(self.engine, f"select {', '.join(counts)} from scored")
            score.add(score.values, name, (values, wrong))
            if known:
                score.add(score.clean, name, (values, hurt))
            for rule, count in zip(false, by_rule, strict=True):
                score.rules[rule] = score.rules.get(rule, 0) + count

        place = FIELD_OF["place"][0]
        right = f"{quote(place)} = {quote('_is_' + place)}"
        whole, part = one(
            self.engine,
            f"""select count(*), count(*) filter ({right}) from scored
                where _divided and {self._unhurt(self.reads[place])}""",
        )
        score.divided = [score.divided[0] + whole, score.divided[1] + part]

    def _score_kinds(self, score: Score) -> None:
        for column in self.hit:
            for (kind,) in self.engine.execute(
                f'select distinct kind from hurt where "column" = {literal(column)}'
            ).fetchall():
                fields = [f for f in FIELD_OF.get(_SPEC[kind]["field"], ()) if column in self.reads.get(f, ())]
                repaired = (
                    f"{quote(fields[0])} is not distinct from {quote('_true_' + fields[0])}" if fields else "false"
                )
                to_find, found = self._found(kind, column)
                counts = one(
                    self.engine,
                    f"""select count(*), count(*) filter ({repaired}), count(*) filter ({to_find}),
                               count(*) filter ({to_find} and {found})
                        from hurt join scored on scored._key = hurt.key
                        where hurt."column" = {literal(column)} and hurt.kind = {literal(kind)}""",
                )
                score.add(score.kinds, kind, counts)

    def _found(self, kind: str, column: str) -> tuple[str, str]:
        """Return the SQL of whether a damaged value is to be found by a row rule, and whether it was."""
        expected = [
            rule
            for rule in self.rules
            if rule.name.startswith(FOUND_BY.get(kind, ("\0",))) and column in self._columns(rule.parsed.fields)
        ]
        if not expected:
            return "false", "false"
        found = " or ".join(f"{quote('_rule_' + rule.name)} is false" for rule in expected)
        if beside := BESIDE.get(kind):
            to_find = f"({quote('_true_' + beside)} is not null and {self._unhurt(self.reads[beside])})"
            return to_find, f"({found})"
        return "true", f"({found})"
