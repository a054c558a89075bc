"""Learn a model where no identifier teaches it: expectation and maximisation by Splink 5, an extra.

Two rows that share a blocking key are of one person or of two; which is not known, so the share of pairs that are, and m,
are found together (Winkler 1988; Linacre and others 2022). A key teaches only those comparisons that it is not made of.
Fields that change together (town and street) mislead it where there are few others: declare keys of different fields.
Samples are taken by the rows' own hashed keys: the same on every run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from motlan.config.matching import Matching, sql
from motlan.errors import ConfigurationError, ContractError
from motlan.expressions import DUCKDB, parse, quote
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.relations import Relations

if TYPE_CHECKING:
    from splink import Linker

RANDOM_ROWS = 800
"""Rows of each side whose pairs teach u."""
UNSEEN = 0.5 / RANDOM_ROWS**2
"""u of a level on which no random pair was."""
START_PAIRS = 5
"""Pairs as which the m that a configuration begins with counts beside those learned from."""
TRAINING_KEYS = 3
"""Blocking keys that teach m, at most."""

Origins = Mapping[str, frozenset[str]]
"""Field -> the columns that it is made of."""


def learn(relations: Relations, matching: Matching, collision: Mapping[str, float], origins: Origins) -> Model | None:
    """Learn m and u from `left_rows` and `spine_rows`; where there is no spine, from `left_rows` alone.

    Args:
        relations: The relations of the linking; Splink's tables are dropped again.
        matching: The declaration; its m start the search.
        collision: Comparison -> how often two random rows share its value.
        origins: Of each field.

    Returns:
        The model; None where fewer than `min_training_pairs` pairs share any key.

    Raises:
        ConfigurationError: Splink is not installed.
        ContractError: It could not learn from this data.
    """
    tables = ["left_rows", *(["spine_rows"] if matching.spine else [])]
    (persons,) = relations.fetch_one(f"select count(*) from {tables[-1]}")
    start = models.declared(matching).model_copy(update={"collision": dict(collision), "persons": max(persons, 1)})
    keys, pairs = _training_keys(relations, matching, origins)
    if not keys:
        return None
    try:
        from splink.internals.exceptions import SplinkException
    except ImportError:
        raise ConfigurationError(
            "no identifier is declared to learn from, and Splink is not installed",
            next_step="pip install 'motlan[link]', or declare identifiers.",
        ) from None
    logging.getLogger("splink").setLevel(logging.ERROR)
    try:
        with _SplinkRows(relations, matching, tables) as rows:
            u = _scaled(rows.learn_u(list(matching.comparisons)), matching, collision)
            m = dict(start.m)
            for number, names in keys:
                m |= rows.learn_m(number, names, u)
    except (SplinkException, ValueError):
        raise ContractError(
            "Splink could not learn from these pairs",
            where="linking",
            next_step="declare blocking rules that more rows share, or m and u with a larger `min_training_pairs`.",
        ) from None
    m = {
        name: [_settled(*level, pairs) for level in zip(m[name], u[name], start.m[name], strict=True)]
        for name in matching.comparisons
    }
    return start.model_copy(update={"m": m, "u": u, "pairs": pairs})


def _settled(m: float, u: float, start: float, pairs: int) -> float:
    """Return m of a level, the start value counted as a few pairs; u where no training pair and no random pair was on it."""
    if not m and u <= UNSEEN:
        return u
    return round((m * pairs + start * START_PAIRS) / (pairs + START_PAIRS), 9)


def _training_keys(
    relations: Relations, matching: Matching, origins: Origins
) -> tuple[list[tuple[int, list[str]]], int]:
    """Choose the blocking keys to learn from, each with the comparisons that its pairs may teach; and count their pairs."""
    open_, chosen, total = set(matching.comparisons), [], 0
    made = {name: _columns(_compared(matching, name), matching, origins) for name in matching.comparisons}
    for _ in range(TRAINING_KEYS):
        best: tuple[int, int, int, list[str]] | None = None
        for number, (left, right) in enumerate(matching.keys):
            if left != right and not matching.spine:
                continue
            used = _columns({name for text in left + right for name in parse(text).fields}, matching, origins)
            names = [name for name in matching.comparisons if not made[name] & used]
            gain = len(open_.intersection(names))
            if gain and (best is None or gain > best[0]):
                pairs = pairs_of_key(relations, matching, number)
                best = (gain, pairs, number, names) if pairs >= matching.min_training_pairs else best
        if best is None:
            break
        chosen.append((best[2], best[3]))
        total += best[1]
        open_ -= set(best[3])
    return chosen, total


def _compared(matching: Matching, comparison: str) -> set[str]:
    """Return the fields that a comparison reads."""
    texts = [level.when for level in matching.comparisons[comparison].levels]
    return {name.partition("_")[2] for text in texts for name in parse(text).fields}


def _columns(fields: Iterable[str], matching: Matching, origins: Origins) -> set[str]:
    """Return the columns that fields and derived fields are made of in the end."""
    found: set[str] = set()
    for name in fields:
        if name in matching.derived:
            found |= _columns(parse(matching.derived[name]).fields, matching, origins)
        else:
            found |= origins.get(name, {name})
    return found


def pairs_of_key(relations: Relations, matching: Matching, number: int) -> int:
    """Count the pairs that share a blocking key, by how many rows have each of its values."""
    sides = []
    for table, texts in zip(
        ("left_rows", "spine_rows" if matching.spine else "left_rows"), matching.keys[number], strict=True
    ):
        parts = [f"({text})::varchar as k{place}" for place, text in enumerate(sql(texts, "f"))]
        sides.append(f"(select {', '.join(parts)}, count(*) as rows from {table} as f group by all)")
    names = ", ".join(f"k{place}" for place in range(len(matching.keys[number][0])))
    pairs = "l.rows * r.rows" if matching.spine else "l.rows * (r.rows - 1) // 2"
    query = f"select coalesce(sum({pairs}), 0) from {sides[0]} as l join {sides[1]} as r using ({names})"
    return int(relations.fetch_one(query)[0])


def _scaled(u: dict[str, list[float]], matching: Matching, collision: Mapping[str, float]) -> dict[str, list[float]]:
    """Give the levels whose weight is by value together the share that the frequencies show: that is what rarity is against."""
    for name, share in collision.items():
        adjusted = [
            number for number, level in enumerate(matching.comparisons[name].levels) if level.term_frequency_adjustment
        ]
        total = sum(u[name][number] for number in adjusted)
        for number in adjusted:
            u[name][number] *= share / total
    return u


class _SplinkRows:
    """The rows as Splink reads them: `em_left` (and `em_right`), with `key_<number>` for each blocking key."""

    def __init__(self, relations: Relations, matching: Matching, tables: list[str]) -> None:
        self.relations, self.engine = relations, relations.engine
        self.matching, self.tables = matching, tables

    def __enter__(self) -> _SplinkRows:
        names = ["em_left", "em_right"][: len(self.tables)]
        for side, (name, table) in enumerate(zip(names, self.tables, strict=True)):
            keys = [
                " || '|' || ".join(f"({text})::varchar" for text in sql(key[side], "f")) + f" as key_{number}"
                for number, key in enumerate(self.matching.keys)
            ]
            columns = [f"f.{quote(column)}" for column in self.matching.columns]
            self.relations.make(name, f"select f.n, {', '.join(columns + keys)} from {table} as f")
            self.relations.make(f"{name}_few", f"from {name} order by n limit {RANDOM_ROWS}")
        self.names = names
        return self

    def __exit__(self, *_: object) -> None:
        self.relations.drop(*(f"{name}{some}" for name in self.names for some in ("", "_few")))
        for (name,) in self.engine.execute(
            "select table_name from duckdb_tables() where table_name like '%splink\\_\\_%' escape '\\'"
        ).fetchall():
            self.engine.execute(f"drop table {quote(name)}")

    def learn_u(self, names: list[str]) -> dict[str, list[float]]:
        """Learn u of some comparisons from all pairs of a few rows."""
        linker = self._linker(names, {}, "_few")
        linker.training.estimate_u_using_random_sampling(max_pairs=2.0 * RANDOM_ROWS**2)
        return self._read(linker, "u_probability", {}, UNSEEN)

    def learn_m(self, key: int, names: list[str], u: dict[str, list[float]]) -> dict[str, list[float]]:
        """Learn m of some comparisons from the pairs that share a blocking key."""
        linker = self._linker(names, u, "")
        linker.training.estimate_parameters_using_expectation_maximisation(
            f"l.key_{key} = r.key_{key}", estimate_without_term_frequencies=True, max_pairs=10.0 * self.matching.sample
        )
        return self._read(linker, "m_probability", models.declared(self.matching).m, 0.0)

    def _linker(self, names: list[str], u: dict[str, list[float]], rows: str) -> Linker:
        from splink import DuckDBAPI, Linker

        database = DuckDBAPI(connection=getattr(self.engine, "connection", self.engine))
        tables = [database.register(f"{name}{rows}", dataset_display_name=name) for name in self.names]
        settings = {
            "link_type": "link_only" if self.matching.spine else "dedupe_only",
            "unique_id_column_name": "n",
            "comparisons": [self._comparison(name, u.get(name)) for name in names],
            "blocking_rules_to_generate_predictions": [],
            "retain_matching_columns": False,
        }
        return Linker(tables, settings, log_level=None, validate_settings=False)

    def _comparison(self, name: str, u: list[float] | None) -> dict[str, Any]:
        levels = []
        for number, level in enumerate(self.matching.comparisons[name].levels):
            said: dict[str, Any] = {
                "sql_condition": _condition(level.when),
                "label_for_charts": f"{number} {level.is_}",
            }
            said |= {"is_null_level": True} if level.missing else {"m_probability": level.m}
            said |= {"u_probability": u[number]} if u and not level.missing else {}
            levels.append(said)
        if self.matching.comparisons[name].levels[-1].when.strip() == "True":
            levels[-1]["sql_condition"] = "ELSE"
        return {"output_column_name": name, "comparison_levels": levels}

    def _read(
        self, linker: Linker, what: str, start: Mapping[str, list[float]], least: float
    ) -> dict[str, list[float]]:
        """Read a parameter of each level; `least` where no pair was on it, so that it has none or what it started with."""
        found = {}
        for comparison in linker.misc.save_model_to_json()["comparisons"]:
            name = comparison["output_column_name"]
            shares = []
            for number, level in enumerate(comparison["comparison_levels"]):
                share = level.get(what)
                seen = isinstance(share, float | int) and (name not in start or share != start[name][number])
                shares.append(0.0 if level.get("is_null_level") else float(share) if seen else least)
            found[name] = shares
        return found


def _condition(text: str) -> str:
    """Write a level's condition over Splink's columns `<field>_l` and `<field>_r`."""
    expression = parse(text)
    columns = {
        name: quote(f"{name.partition('_')[2]}_{'l' if name.startswith('left_') else 'r'}")
        for name in expression.fields
    }
    return expression.sql(DUCKDB, columns)
