"""Propose a configuration of `motlan link` from the columns of the files: one that runs as it is, to begin with.

What a column holds is guessed from its header and from counts of its values; no value is shown. m and u are left out: they
are learned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import duckdb
import yaml

from motlan.errors import ContractError
from motlan.expressions import DUCKDB, FUNCTIONS, connect, installed, one, parse, quote
from motlan.expressions.duckdb.dates import DATE_FORMATS
from motlan.file_linking.configuration import SIDES
from motlan.file_linking.tabular import load

Kind = Literal["identifier", "date", "sex", "name", "place", "postcode", "text", "code"]

HEADERS: dict[Kind, str] = {
    "identifier": r"(.*_)?(ssn|soc_sec_id|passport|nhs_number|(personal|national|citizen|identity|social)_.*"
    r"|email|phone|mobile)(_.*)?",
    "date": r"(.*_)?(dob|birth|birthday|birthdate|date|born)(_.*)?",
    "sex": r"sex|gender",
    "postcode": r"(.*_)?(postcode|post_code|zip|zipcode|zip_code|postal_code)",
    "place": r"(.*_)?(suburb|city|town|village|ward|district|state|county|country)(_.*)?",
    "name": r"(.*_)?(names?|given|first|last|middle|family|forename|surname|firstname|lastname|fullname)(_.*)?",
}
"""Kind of column -> pattern of its headers, the first that fits; packages of functions have those of other languages."""
KEY = r"(.*_)?(id|key|no|number|code)|id_.*|record.*"
"""Pattern of the headers of keys."""
READY_FOR: dict[Kind, str] = {
    "identifier": "identifier",
    "date": "date",
    "sex": "exact",
    "name": "name",
    "place": "text",
    "postcode": "code",
    "text": "text",
    "code": "code",
}
SAMPLE = 2_000
"""Rows in which dates and words are looked for."""
BLOCKING_RULES = 6
PAIRS_A_ROW = 5
"""Candidates a row may get from one blocking key, on average."""


@dataclass(frozen=True)
class Column:
    """What is known of a column of both files.

    Attributes:
        name: As expressions read it.
        kind: What it seems to hold.
        cleaned: Expression that makes the field of its name.
        filled: Share of rows that have a value, in the file where it is lower.
        distinct: Distinct values a filled row, likewise.
    """

    name: str
    kind: Kind
    cleaned: str
    filled: float
    distinct: float


def propose(left: Path, right: Path | None) -> str:
    """Return a configuration in YAML.

    Args:
        left: CSV or Parquet.
        right: Another; None looks for duplicates in `left`.

    Raises:
        ConfigurationError: A file is not there.
        ContractError: A file cannot be read, or there is nothing to compare.
    """
    paths = [path for path in (left, right) if path]
    with connect(allowed=[path.parent for path in paths]) as engine:
        sides = SIDES[: len(paths)]
        named = [load(engine, path, f"{side}_file") for side, path in zip(sides, paths, strict=True)]
        shared = [name for name in named[0] if name in named[-1]]
        key = _key(engine, shared, sides)
        columns = [found for name in shared if name not in key and (found := _column(engine, name, sides))]
        identifiers = [column.name for column in columns if column.kind == "identifier"]
        compared = [column for column in columns if column.distinct > 0]
        if not compared:
            raise ContractError(
                "the files share no column to compare" if right else "no column tells rows apart",
                where=" and ".join(path.name for path in paths),
                next_step="write a configuration with fields: that says what to compare with what.",
            )
        _make_cleaned(engine, compared, sides)
        rules = _blocking_rules(
            engine, [column for column in compared if column.kind not in ("sex", "identifier")], sides
        )
    content: dict[str, Any] = {"key": key} if key else {}
    content["fields"] = {column.name: column.cleaned for column in compared if column.cleaned != f"text({column.name})"}
    if identifiers:
        content["identifiers"] = identifiers
        training_key = [column.name for column in compared if column.kind in ("name", "date")]
        content |= {"training_key": training_key[:3]} if len(training_key) > 1 else {}
    content["errors"] = {"max_false_link_rate": 0.005, "review_error": 0.05}
    content["blocking_rules"] = rules
    content["comparisons"] = {column.name: READY_FOR[column.kind] for column in compared}
    others = sorted({name for names in named for name in names} - set(shared))
    return _written(content, " and ".join(path.name for path in paths), others)


def _key(engine: duckdb.DuckDBPyConnection, names: Sequence[str], sides: Sequence[str]) -> list[str]:
    """Return the first column that looks like a key and is filled and never twice in each file; none numbers the rows."""
    for name in names:
        if _is_called(name, "key", KEY) and all(
            one(engine, f"select count(distinct {quote(name)}) = count(*) from {side}_file")[0] for side in sides
        ):
            return [name]
    return []


def _column(engine: duckdb.DuckDBPyConnection, name: str, sides: Sequence[str]) -> Column | None:
    """Look at a column; None where it is nearly empty."""
    value = parse(f"text({name})").sql(DUCKDB)
    filled, distinct = 1.0, 1.0
    for side in sides:
        rows, values, known = one(engine, f"select count(*), count({value}), count(distinct {value}) from {side}_file")
        filled, distinct = min(filled, values / rows), min(distinct, known / max(values, 1) if known > 1 else 0)
    if filled < 0.05:
        return None
    kind = next((kind for kind, pattern in HEADERS.items() if _is_called(name, kind, pattern)), None)
    form, read = _date_format(engine, name, sides)
    if (kind == "date" and read < 0.5) or (kind == "identifier" and distinct < (0.8 if len(sides) == 2 else 0.2)):
        kind = None
    if kind is None:
        kind = "date" if read > 0.95 else "text" if _has_words(engine, name, sides) else "code"
    cleaned = dict.fromkeys(("text", "place", "name"), f"lower(text({name}))")
    cleaned |= {"date": f"partial_date({name}, '{form}')", "sex": f"upper(text({name}))"}
    cleaned |= {one.proposed_for: f"{one.name}({name})" for one in FUNCTIONS.values() if one.proposed_for}
    return Column(name, kind, cleaned.get(kind, f"text({name})"), filled, distinct)


def _is_called(name: str, kind: str, pattern: str) -> bool:
    """Tell whether a header is one of a kind of column, in English or as the installed functions know it."""
    more = [package.headers[kind] for package in installed().packages if kind in package.headers]
    return any(re.fullmatch(one, name) for one in (pattern, *more))


def _share(engine: duckdb.DuckDBPyConnection, condition: str, name: str, side: str) -> float:
    """Return the share of a column's values that meet a condition, in the first rows of a file."""
    where = f"select coalesce(avg(({condition})::int), 0) from (from {side}_file limit {SAMPLE}) where {quote(name)} is not null"
    return float(one(engine, where)[0])


def _date_format(engine: duckdb.DuckDBPyConnection, name: str, sides: Sequence[str]) -> tuple[str, float]:
    """Return the format by which most values are whole days, and the share that are."""
    best = ("either", 0.0)
    if _share(engine, f"length(regexp_replace({quote(name)}, '[^0-9]', '', 'g')) >= 6", name, sides[0]) < 0.5:
        return best
    for form in DATE_FORMATS:
        day = parse(f"date_precision(partial_date({name}, '{form}')) == 3 and length(text({name})) >= 8").sql(DUCKDB)
        share = min(_share(engine, f"coalesce({day}, false)", name, side) for side in sides)
        best = (form, share) if share > best[1] + 0.001 else best
    return best


def _has_words(engine: duckdb.DuckDBPyConnection, name: str, sides: Sequence[str]) -> bool:
    """Tell whether one value of five or more has several words, or is long: a text rather than a code."""
    return _share(engine, f"trim({quote(name)}) like '% %' or length({quote(name)}) > 12", name, sides[0]) >= 0.2


def _make_cleaned(engine: duckdb.DuckDBPyConnection, columns: Sequence[Column], sides: Sequence[str]) -> None:
    for side in sides:
        made = ", ".join(f"{parse(column.cleaned).sql(DUCKDB)} as {quote(column.name)}" for column in columns)
        engine.execute(f"create or replace temp table {side}_cleaned as select _row, {made} from {side}_file")


def _blocking_rules(
    engine: duckdb.DuckDBPyConnection, columns: Sequence[Column], sides: Sequence[str]
) -> list[list[str]]:
    """Choose keys by how many pairs they make: columns that are rare enough, then pairs of columns, each in two at most."""
    most = PAIRS_A_ROW * sum(one(engine, f"select count(*) from {side}_cleaned")[0] for side in (sides[0], sides[-1]))
    found: list[list[str]] = []
    used = dict.fromkeys((column.name for column in columns), 0)
    singles = [[column.name] for column in sorted(columns, key=lambda column: (-column.filled, -column.distinct))]
    couples = [list(couple) for couple in combinations((single[0] for single in singles), 2)]
    for key in singles + couples:
        fresh = all(used[name] < 2 for name in key) and not any(set(other) <= set(key) for other in found)
        if len(found) < BLOCKING_RULES and fresh and 0 < _pairs(engine, key, sides) <= most:
            found.append(key)
            for name in key:
                used[name] += 1
    return found or [[single[0]] for single in singles[:1]]


def _pairs(engine: duckdb.DuckDBPyConnection, key: Sequence[str], sides: Sequence[str]) -> int:
    """Count the pairs of rows that share a key, by its counts alone."""
    listed = ", ".join(map(quote, key))
    present = " and ".join(f"{quote(name)} is not null" for name in key)
    counts = [
        f"(select {listed}, count(*) as rows from {side}_cleaned where {present} group by all)"
        for side in (sides[0], sides[-1])
    ]
    query = f"select coalesce(sum(l.rows * r.rows), 0) from {counts[0]} as l join {counts[1]} as r using ({listed})"
    if len(sides) == 1:
        query = f"select coalesce(sum(rows * (rows - 1) // 2), 0) from {counts[0]}"
    return int(one(engine, query)[0])


def _written(content: dict[str, Any], files: str, others: Sequence[str]) -> str:
    """Write the configuration as YAML, lists of words on one line."""

    class Dumper(yaml.SafeDumper):
        """Knows nothing of our lists but this."""

    def listed(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
        inner = bool(data) and isinstance(data[0], str)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=inner)

    Dumper.add_representer(list, listed)
    body = yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=130)
    return (
        f"# How rows of {files} are linked: proposed from the columns, to begin with. See docs/how-to/link-files.md.\n"
        "# Check first: the key, what identifies, the fields' cleaners, and that the blocking rules find true pairs.\n"
        + (f"# Columns of one file alone, to be named under fields: {', '.join(others)}\n" if others else "")
        + body
    )
