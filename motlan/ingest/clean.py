"""Compile a dataset's mapping into one query, which is stored and hashed: lineage replays it years later.

Costly cleaners (names above all) run once for each distinct value that a cheap test does not pass, and are joined
back: most values of a register are clean already, and the rest repeat. Code lists are joined too.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from motlan.config.registry import Dataset
from motlan.expressions import DUCKDB, FUNCTIONS, SPARK, Call, Dialect, Expression, fill, parse
from motlan.expressions.duckdb.named import NAMED, verbatim
from motlan.ingest.raw_columns import stored

RAW = "raw_rows"
"""Name of the relation that the compiled query reads: landed rows with landing's own columns."""

META = "_ref, _run, _key, _moment, _locator"

DAY = "_day"
"""Name of the day of a record's moment in the zone of its source: what a code meant turns over at midnight there, not in UTC."""


def select_canonical(dataset: Dataset, dialect: Dialect = DUCKDB) -> str:
    """Return the query from `raw_rows` to canonical rows, in the SQL of an engine, or as the steps of another are written.

    A field may be made from fields that were made from raw columns (an area from the place in it); a name that is both
    a raw column's and a field's means the raw column.

    Columns: `_ref`, `_run`, `_key`, `_moment`, `_locator`, the mapped canonical fields, and every declared raw column
    under its stored name for the rules that look at what was sent.
    """
    if dialect is NAMED:
        return verbatim(select_canonical(dataset, SPARK))
    query, quote = _select(dataset, dialect), dialect.quote
    if all(map(_storable, dataset.expressions.values())):
        return query
    kept = [quote(stored(column)) for column in dataset.columns]
    kept += [quote(field) if _storable(made) else _plain(quote(field)) for field, made in dataset.expressions.items()]
    return f"select {META},\n       " + ",\n       ".join(kept) + f"\nfrom ({query}) as _made"


def _storable(made: Expression) -> bool:
    """Tell whether an expression's answer surely has no character that the store has no text for."""
    storable = {name for name, function in FUNCTIONS.items() if function.storable}
    calls = [call for call in made.calls({*storable, "coalesce"}) if call.whole.text == made.text]
    return any(call.function != "coalesce" or all(map(_storable, call.arguments)) for call in calls)


def _plain(column: str) -> str:
    """Return the SQL of a column without U+0000, which PostgreSQL has no text for; the same in both engines."""
    dropped = f"nullif(replace({column}, chr(0), ''), '')"
    return f"case when contains({column}, chr(0)) then {dropped} else {column} end as {column}"


def _select(dataset: Dataset, dialect: Dialect) -> str:
    first, second = split(dataset)
    quote = dialect.quote
    sent = {column: quote(stored(column)) for column in dataset.columns}
    columns = list(sent.values())
    sent |= {DAY: quote(DAY)}
    day = day_of(dataset, dialect) if any(DAY in made.fields for made in (*first.values(), *second.values())) else ""
    columns += [quote(DAY)] if day else []
    once = [_Once(number, call, dialect, sent) for number, call in enumerate(_calls(first, dialect.costly))]
    made_once = [*([f"{day} as {quote(DAY)}"] if day else []), *(one.column for one in once)]
    given = f"(select *, {', '.join(made_once)} from {RAW})" if made_once else RAW
    joined = _Joined(first, sent, dialect)
    made = {one.call.whole.text: one.answer for one in once} | joined.answers
    fields = [f"{expression.sql(dialect, sent, made)} as {quote(field)}" for field, expression in first.items()]
    answers, joins = _answered(once)
    query = f"{answers}select {META},\n       " + ",\n       ".join([*columns, *fields]) + f"\nfrom {given}"
    query += joins + joined.joins
    if not second:
        return query
    names = {field: quote(field) for field in first} | sent
    joined = _Joined(second, names, dialect)
    derived = [f"{made.sql(dialect, names, joined.answers)} as {quote(field)}" for field, made in second.items()]
    return "select _first.*,\n       " + ",\n       ".join(derived) + f"\nfrom ({query}) as _first{joined.joins}"


def split(dataset: Dataset) -> tuple[dict[str, Expression], dict[str, Expression]]:
    """Return the fields made from raw columns alone, and those made from them."""
    made = {field: expression.dated(dataset.moment, DAY) for field, expression in dataset.expressions.items()}
    first = {field: expression for field, expression in made.items() if expression.fields <= {*dataset.columns, DAY}}
    return first, {field: expression for field, expression in made.items() if field not in first}


def day_of(dataset: Dataset, dialect: Dialect = DUCKDB) -> str:
    """Return the SQL of the day of a record's moment where its source is; in UTC where no zone is declared."""
    return parse(f"local_day(_moment, '{dataset.zone or 'UTC'}')").sql(dialect, {"_moment": dialect.quote("_moment")})


def _calls(fields: Mapping[str, Expression], functions: Container[str]) -> list[Call]:
    """Return the different calls of some functions, in the order of the fields."""
    return list({call.whole.text: call for made in fields.values() for call in made.calls(functions)}.values())


class _Once:
    """A costly call, computed once for each distinct value that the cheap test does not pass.

    `_given_<n>` holds the value, `_made_<n>` the answer for it where it is odd, `_key_made_<n>` the odd value.
    """

    def __init__(self, number: int, call: Call, dialect: Dialect, names: Mapping[str, str]) -> None:
        self.call, self.dialect, self.names = call, dialect, names
        self.given, self.made = f"_given_{number}", f"_made_{number}"

    @property
    def column(self) -> str:
        """The value as a column."""
        return f"{self.call.arguments[0].sql(self.dialect, self.names)} as {self.given}"

    @property
    def odd(self) -> str:
        """The query of the values that the cheap test does not pass, as `given`."""
        test = self.filled(self.dialect.costly[self.call.function])
        return f"select {self.given} as given from (select {self.column} from {RAW}) where not {test}"

    def join(self, answers: str) -> str:
        """The join with a relation of answers (`given`, `made`). What has none there passed the test, or is null."""
        named = f"select given as _key{self.made}, made as {self.made}"
        return f"\nleft join ({named} from {answers}) on _key{self.made} = {self.given}"

    @property
    def answer(self) -> str:
        """What stands for the call."""
        return f"(case when _key{self.made} is null then {self.plain} else {self.made} end)"

    def filled(self, template: str) -> str:
        """Put the call's arguments into a template, the first by its name."""
        return fill(template, (self.given, *self.rest))

    @property
    def rest(self) -> list[str]:
        """The SQL of the call's further arguments."""
        return [argument.sql(self.dialect) for argument in self.call.arguments[1:]]

    @property
    def plain(self) -> str:
        """The answer for a value that passes the cheap test."""
        return self.filled(self.dialect.plain.get(self.call.function, "@1"))


def _answered(once: Sequence[_Once]) -> tuple[str, str]:
    """Return the relations that answer costly calls, to stand before the query, and the joins with them.

    Calls that differ in their value alone share one: it takes longer to plan than to run.
    """
    alike: dict[tuple[str, ...], list[_Once]] = {}
    for one in once:
        alike.setdefault((one.call.function, *one.rest), []).append(one)
    relations, joins = [], ""
    for number, calls in enumerate(alike.values()):
        first, dialect = calls[0], calls[0].dialect
        odd = f"(select distinct given from ({' union all '.join(one.odd for one in calls)}))"
        write = dialect.answers.get(first.call.function)
        made = (
            write(odd, first.rest) if write else f"select given, {first.call.sql(dialect, 'given')} as made from {odd}"
        )
        name = f"_answers_{number}"
        relations.append(f"{name} as ({made})")
        joins += "".join(one.join(name) for one in calls)
    return f"with {', '.join(relations)}\n" if relations else "", joins


class _Joined:
    """The look-ups of some fields, by joins instead of a correlated query each. Two with one relation and key share theirs.

    Attributes:
        joins: The joins.
        answers: Text of a call -> what stands for it.
    """

    def __init__(self, fields: Mapping[str, Expression], names: Mapping[str, str], dialect: Dialect) -> None:
        found: dict[tuple[str, str], str] = {}
        self.answers = {}
        for call in _calls(fields, dialect.lookups):
            look = dialect.lookups[call.function]
            arguments = [argument.sql(dialect, names) for argument in call.arguments]
            relation, key, answer = (fill(part, arguments) for part in (look.relation, look.key, look.answer))
            name = found.setdefault((relation, key), f"_found_{len(found)}")
            self.answers[call.whole.text] = f"({answer.replace('@found', name)})"
        self.joins = "".join(
            f"\nleft join (select code as _code{name}, found as {name} from ({relation})) on _code{name} = {key}"
            for (relation, key), name in found.items()
        )
