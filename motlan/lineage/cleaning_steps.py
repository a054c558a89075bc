"""How a landed row became canonical values: each call of the mapping, what it was given and gave, and each rule's answer.

The steps are the mapping's own expression, evaluated from the inside out over the row as it was cleaned again. They are those of
the version that cleaned the row, where it keeps them; a version of before that is shown by today's mapping, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb

from motlan.config.registry import Dataset
from motlan.errors import ConfigurationError
from motlan.expressions import DUCKDB, FUNCTIONS, Call, Expression, explain, literal, parse, quote
from motlan.ingest.clean import DAY, day_of
from motlan.ingest.raw_columns import stored
from motlan.workspace import Workspace

Tree = dict[str, Any]


def describe_cleaning(
    engine: duckdb.DuckDBPyConnection, dataset: Dataset, field: str, body: Mapping[str, Any], table: str, ref: str
) -> Tree:
    """Describe how one canonical value was made of a landed row.

    Args:
        engine: A session that keeps what was made again.
        dataset: The row's dataset, as declared now.
        field: The canonical field.
        body: The version that cleaned it.
        table: The rows as they were cleaned again.
        ref: The landed row.

    Returns:
        `expression`; `sent` (raw column -> what was sent); `steps`: of each call `call`, `given` (its arguments that are not
        written out, in order), `value`, and `within`, the steps inside a cleaner; `as_then`: whether the expression is that
        version's own.
    """
    texts = body.get("fields") or {name: made.text for name, made in dataset.expressions.items()}
    shown = parse(texts[field])
    names = {**{column: quote(stored(column)) for column in body["columns"]}, DAY: day_of(dataset)}
    sent = [name for name in shown.names if name in body["columns"]]
    asked = list(_steps(shown))
    parts = [part for step in asked for part in (step, *_given(step))] + [parse(name) for name in sent]
    columns = ", ".join(f"({_dated(part, dataset).sql(DUCKDB, names)})::varchar" for part in parts) or "null"
    found = engine.execute(f"select {columns} from {table} where _ref = {literal(ref)}").fetchall()
    values = iter(found[0] if found else [None] * len(parts))
    steps = []
    for step in asked:
        value, given = next(values), {part.text: next(values) for part in _given(step)}
        steps.append({"call": step.text, "given": given, "value": value, "within": _within(engine, step, given)})
    return {
        "expression": shown.text,
        "sent": {name: next(values) for name in sent},
        "steps": steps,
        "as_then": "fields" in body,
    }


def _steps(expression: Expression) -> Iterator[Expression]:
    """Give the calls of an expression from the inside out, each once, and itself at last."""
    seen: set[str] = set()
    for step in (*_calls(expression), expression):
        if step.text not in seen and not (step is expression and expression.text in expression.fields):
            seen.add(step.text)
            yield step


def _calls(expression: Expression) -> Iterator[Expression]:
    for call in reversed(expression.calls(FUNCTIONS)):
        for argument in call.arguments:
            yield from _calls(argument)
        yield call.whole


def _call(step: Expression) -> Call | None:
    """Return the call that an expression is; None where it is something else."""
    found = step.calls(FUNCTIONS)
    return found[0] if len(found) == 1 and found[0].whole.text == parse(step.with_names({})).text else None


def _given(step: Expression) -> list[Expression]:
    """Return what a step was given: a call's arguments that are not written out, and the fields that any other one reads."""
    call = _call(step)
    parts = call.arguments if call else tuple(parse(name) for name in step.names)
    return [part for part in parts if part.fields]


def _dated(part: Expression, dataset: Dataset) -> Expression:
    return part.dated(dataset.moment, DAY)


def _within(engine: duckdb.DuckDBPyConnection, step: Expression, given: Mapping[str, str | None]) -> list[Tree]:
    """Return the steps inside a cleaner that changed its value, where it has any and was given one value."""
    call = _call(step)
    if call is None or len(given) != 1 or not DUCKDB.functions.stages.get(call.function):
        return []
    others = [_written(argument) for argument in call.arguments if not argument.fields]
    try:
        steps = explain(engine, call.function, next(iter(given.values())), others)
    except ConfigurationError:
        return []
    return [{"step": one.name, "value": one.value, "note": one.note} for one in steps[:-1] if one.changed]


def _written(argument: Expression) -> Any:
    text = argument.text
    return text[1:-1] if text[:1] in "'\"" else {"True": True, "False": False, "None": None}.get(text, text)


def describe_rules(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    dataset: Dataset,
    body: Mapping[str, Any],
    table: str,
    ref: str,
) -> list[Tree]:
    """Describe what each row rule answered of a row: `rule`, `field`, `severity`, `expression`, `message` (vi, en), `answer`.

    `answer` is `kept`, `broken`, or `not asked` where what the rule asks about is not known.
    """
    names = body["rules"]
    columns = ", ".join(quote("_rule_" + name) for name in names) or "null"
    found = engine.execute(f"select {columns} from {table} where _ref = {literal(ref)}").fetchall() if names else []
    answers = found[0] if found else [None] * len(names)
    declared = {rule.name: rule for rule in work.registry.row_rules_of(dataset)}
    told = []
    for name, answer in zip(names, answers, strict=True):
        rule = declared.get(name)
        told.append(
            {
                "rule": name,
                "field": rule.field if rule else None,
                "severity": rule.severity if rule else None,
                "expression": body.get("asked", {}).get(name) or (rule.expression if rule else None),
                "message": rule.message.model_dump() if rule else None,
                "answer": {True: "kept", False: "broken", None: "not asked"}[answer],
            }
        )
    return told
