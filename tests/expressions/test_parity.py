"""Both engines answer alike: every example of every function, and random values. tests/spark runs whole registers.

All values go through each engine in few queries, for planning one costs Spark more than a thousand rows do.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from motlan.expressions import DUCKDB, FUNCTIONS, SPARK, Dialect, Function, Scalar
from motlan.expressions.spark import start

pytestmark = pytest.mark.slow

RANDOM_ROWS = int(os.environ.get("MOTLAN_PARITY_ROWS", "500"))
"""Rows of random arguments; `make soak` takes 5,000."""
COLUMNS = ("text_1", "text_2", "text_3", "count_1", "count_2")
"""Arguments of every call. No name is one that templates bind: those are short."""

Row = tuple[str | None, str | None, str | None, int | None, int | None]


# --- Spark, where it is ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def session(spark: Any) -> Any:
    """A session of our own, as the steps have theirs."""
    opened = spark.newSession()
    for name, value in start.settings("local[2]").items():
        if opened.conf.isModifiable(name):
            opened.conf.set(name, value)
    return opened


def load(session: Any, folder: Path, **tables: pa.Table) -> None:
    """Let Spark see tables, which go there as Parquet."""
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        pq.write_table(table, path)
        session.read.parquet(str(path)).createOrReplaceTempView(name)


# --- the calls ------------------------------------------------------------------------------------------------------
def shapes(function: Function) -> list[tuple[Scalar, ...]]:
    """Return the ways in which the examples call a function: written-out values, and columns' names for the others."""
    found: dict[tuple[Scalar, ...], None] = {}
    for arguments, _ in function.examples:
        found[tuple(value for value, _ in _placed(function, arguments))] = None
    return list(found)


def _placed(function: Function, arguments: Sequence[Scalar]) -> list[tuple[Scalar, str | None]]:
    """Put a call's arguments into columns: (written-out value, None) or (`@column`, column)."""
    texts, counts = iter(COLUMNS[:3]), iter(COLUMNS[3:])
    placed: list[tuple[Scalar, str | None]] = []
    for place, value in enumerate(arguments):
        declared = function.parameters[min(place, len(function.parameters) - 1)]
        column = None if declared.written_out else next(counts if isinstance(value, int) else texts)
        placed.append((value if column is None else f"@{column}", column))
    return placed


def row_of(function: Function, arguments: Sequence[Scalar]) -> Row:
    """Return the row of arguments that an example's call reads."""
    values = dict(zip((c for _, c in _placed(function, arguments)), arguments, strict=True))
    return tuple(values.get(column) for column in COLUMNS)  # type: ignore[return-value]


EXAMPLES = [(function, arguments, answer) for function in FUNCTIONS.values() for arguments, answer in function.examples]
CALLS = [(function, shape) for function in FUNCTIONS.values() for shape in shapes(function)]


def compiled(dialect: Dialect) -> list[str]:
    """Return queries that make every call for every row. Spark plans a few of middling size sooner than one long one."""

    def argument(value: Scalar) -> str:
        is_column = isinstance(value, str) and value.startswith("@")
        return dialect.quote(str(value)[1:]) if is_column else dialect.literal(value)

    queries = [""]
    for number, (function, shape) in enumerate(CALLS):
        answer = f", {dialect.call(function.name, [argument(value) for value in shape])} AS answer_{number}"
        if len(queries[-1]) + len(answer) > 12_000 and queries[-1]:
            queries.append("")
        queries[-1] += answer
    return [f"SELECT call{answers} FROM calls ORDER BY call" for answers in queries]


def together(answers: list[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """Put the answers of several queries beside each other, without the calls' numbers."""
    return [tuple(value for part in parts for value in part[1:]) for parts in zip(*answers, strict=True)]


# --- random values --------------------------------------------------------------------------------------------------
_WORDS = [
    "Nguyễn", "Trần", "Đặng", "Hòa", "Hoà", "Thuý", "Quý", "Khoẻ", "H'Hen", "Niê", "Uyên", "Oanh", "Müller", "Ươm",
    "NguyÔn", "V¨n", "ThÞ", "H\u00adng", "Nguyeãn", "ÑOÃ", "HÖÔNG", "Nguyá»…n", "HÃ\u00a0", "Nguye^~n", "Hu+o+ng",
]  # fmt: skip
NAMES = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map(" ".join)
SPELT = st.builds(
    lambda name, change: change(name),
    NAMES,
    st.sampled_from(
        [str, str.upper, str.lower, lambda name: unicodedata.normalize("NFD", name), lambda name: f" {name}\u200b\t"]
    ),
)
_DAYS = st.tuples(st.integers(0, 32), st.integers(0, 13), st.sampled_from([0, 1, 1945, 1990, 2000, 2024, 9999]))
_PATTERNS = [
    "{0:02}/{1:02}/{2:04}",
    "{0}-{1}-{2}",
    "{2:04}-{1:02}-{0:02}",
    "{2:04}{1:02}{0:02}",
    "{0:02}{1:02}{2:04}",
    "{2}",
]
_CLOCKS = [
    "",
    " ",
    "T00:00:00Z",
    " 24:00:00",
    "T07:05:00+07:00",
    "T23:59:59.1234567-0730",
    "T25:00:00Z",
    "T1",
    "T07:05+0",
]
DATES = st.builds(
    lambda day, pattern, clock: pattern.format(*day) + clock,
    _DAYS,
    st.sampled_from(_PATTERNS),
    st.sampled_from(_CLOCKS),
)
NUMBERS = st.from_regex(r"\A[ '+-]?[0-9]{0,13}([.,_ -][0-9]{1,4})?([eE][+-]?[0-9]{1,3})?[df]?\Z")
GARBAGE = st.text(
    st.one_of(
        st.sampled_from("aAâÂăĂđĐeêiIoôơuưyỳÝnNgG .'-`^~+(?/\\$@\u00a0\u00ad\u200b\ufeff\u0085\u2028\t\r\nßİıΣſÅ"),
        st.sampled_from([chr(n) for n in range(0x300, 0x370)]),
        st.sampled_from("ÃÄÆá»º¡¢£¤¥¦§¨©ª«¬®µ¶¹¼¾ÇÖÞäåæçëïñøûüþ‘’“”…Ðð0123456789"),
        st.characters(codec="utf-8", exclude_categories=("Mn", "Mc", "Me", "Cs")).filter(
            lambda char: char != "\0" and unicodedata.is_normalized("NFC", char)
        ),
    ),
    max_size=16,
)
TEXTS = st.one_of(st.none(), st.just(""), SPELT, DATES, NUMBERS, GARBAGE)


def _edited(first: str | None, second: str | None, place: int, kind: int) -> str | None:
    """Return the second text, or the first with a letter swapped, dropped or doubled."""
    if kind == 0 or not first:
        return second
    head, tail = first[:place], first[place:]
    return head + (tail[1::-1] + tail[2:], tail[1:], tail[:1] + tail)[kind - 1]


ROWS = st.builds(
    lambda a, b, c, place, kind, count: (a, _edited(a, b, place, kind), c, place + 1, count),
    TEXTS, TEXTS, st.one_of(st.none(), DATES), st.integers(0, 9), st.integers(0, 3), st.integers(0, 9),
)  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """The arguments of all examples, then random ones: the same in every run."""
    found: list[Row] = [row_of(function, arguments) for function, arguments, _ in EXAMPLES]

    @settings(max_examples=RANDOM_ROWS, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(row=ROWS)
    def collect(row: Row) -> None:
        found.append(row)

    collect()
    return found


@pytest.fixture(scope="module")
def answers(session, engine, rows: list[Row], tmp_path_factory) -> dict[str, list[tuple[Any, ...]]]:
    """What each engine answers to every call for every row."""
    types = dict(zip(COLUMNS, (pa.string(),) * 3 + (pa.int32(),) * 2, strict=True))
    columns = {
        name: pa.array(values, types[name]) for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    }
    calls = pa.table({"call": pa.array(range(len(rows)), pa.int32()), **columns})
    codes = {name: engine.sql(f"FROM {name}").to_arrow_table() for name in ("motlan_codes", *DUCKDB.functions.tables)}
    engine.register("calls", calls)
    here = together([engine.execute(query).fetchall() for query in compiled(DUCKDB)])
    engine.unregister("calls")
    load(session, tmp_path_factory.mktemp("calls"), calls=calls, **codes)
    there = together([list(map(tuple, session.sql(query).collect())) for query in compiled(SPARK)])
    return {"duckdb": here, "spark": there}


def same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{f.name}{list(s)}" for f, s in CALLS])
def test_both_engines_answer_alike(answers, rows: list[Row], number: int) -> None:
    pairs = zip(rows, answers["duckdb"], answers["spark"], strict=True)
    different = [(row, d[number], s[number]) for row, d, s in pairs if not same(d[number], s[number])]
    assert different[:5] == [], f"{len(different)} of {len(rows)}"


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_every_example_of_the_catalogue_holds_on_spark(answers, function: Function) -> None:
    for number, (of, arguments, answer) in enumerate(EXAMPLES):
        if of is function:
            place = CALLS.index((function, tuple(value for value, _ in _placed(function, arguments))))
            assert same(answers["spark"][number][place], answer), arguments
