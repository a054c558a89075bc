"""The report of one linking of files: a page that needs no network and no script.

It shows values of the user's own files, for a few pairs: whoever may read the files may read it, nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

import duckdb

from motlan.config.matching import Matching
from motlan.expressions import parse, quote
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.model_charts import Point, Step, curve_svg, waterfall_svg, weights_svg

if TYPE_CHECKING:
    from motlan.file_linking.link_files import Summary

EACH = 3
"""Pairs shown of each kind."""
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999)
KINDS = {
    "The best links": "decision = 'link' order by match_weight desc, n, other",
    "The worst links": "decision = 'link' order by probability, match_weight, n, other",
    "Just under the threshold": "decision != 'link' order by probability desc, match_weight desc, n, other",
}
STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1c2530;background:#fff;max-width:900px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse;margin:.5em 0}
td,th{padding:.15em .8em .15em 0;text-align:left;border-bottom:1px solid #e4e8ec}svg{max-width:100%;height:auto}
.pair{margin:1.2em 0 2em}.note{color:#5a6672}"""


def page(
    engine: duckdb.DuckDBPyConnection,
    matching: Matching,
    model: Model,
    summary: Summary,
    titles: Mapping[str, str],
) -> str:
    """Draw the report from the tables `pairs`, `best_pairs`, `keys`, `left_rows` and `spine_rows` of a linking session.

    Args:
        engine: The session.
        matching: The declaration.
        model: The model used.
        summary: What the linking made.
        titles: File (`left`, `right`) -> its name.
    """
    points = _points(engine)
    parts = [
        f"<h1>{escape(' with '.join(titles.values()))}, linked</h1>",
        "<p class='note'>This page shows values of the linked files. Keep it as they are kept.</p>",
        _table(_said(summary)),
        "<h2>What each level of agreement weighs</h2>",
        "<p>Bits: log2 of m / u. m is how often two rows of one person are on the level, u how often two rows of different "
        "persons are. Where a weight counts by value, a frequent value weighs less than shown, a rare one more.</p>",
        weights_svg(matching, model),
        "<h2>What a threshold costs</h2>",
        "<p>Expected by the model from the pairs that were compared; true pairs that share no blocking key are not in it.</p>",
        curve_svg(points, model.link_threshold),
        _table(
            [("least probability", "links", "expected precision", "expected recall")]
            + [_row(point) for point in points]
        ),
    ]
    for title, which in KINDS.items():
        parts.append(f"<h2>{title}</h2>")
        parts += [_pair(matching, pair) for pair in _pairs(engine, matching, model, which)] or ["<p>None.</p>"]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Linking report</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _said(summary: Summary) -> list[tuple[str, ...]]:
    learned = {
        "identifier": "rows that share an identifier",
        "em": "expectation and maximisation (Splink)",
        "declared": "nothing: too few pairs, so m and u are as declared",
    }[summary.learned_by]
    said = asdict(summary) | {
        "rows": " and ".join(f"{count:,}" for count in summary.rows.values()),
        "learned_by": learned,
    }
    return [
        (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)) for name, value in said.items()
    ]


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _row(point: Point) -> tuple[str, ...]:
    return f"{point.threshold:g}", f"{point.links:,}", f"{point.precision:.5f}", f"{point.recall:.5f}"


def _points(engine: duckdb.DuckDBPyConnection) -> list[Point]:
    """Count what each threshold would link of `best_pairs`, and what the probabilities say of it."""
    listed = ", ".join(f"({threshold}::double)" for threshold in THRESHOLDS)
    rows = engine.execute(
        f"""select threshold, count(n), coalesce(avg(probability), 1),
                   coalesce(sum(probability) / any_value((select sum(probability) from pairs)), 0)
            from (values {listed}) as t(threshold)
            left join best_pairs as best on probability >= threshold group by all order by all"""
    ).fetchall()
    return [Point(*row) for row in rows]


def _pairs(engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, which: str) -> list[dict[str, Any]]:
    """Read a few pairs: keys, decision, the level and weight of each comparison, and the values compared."""
    columns = [f"{models.level_of(matching, name)} as {quote('level ' + name)}" for name in matching.comparisons]
    columns += [
        f"{models.weight_of(matching, model, name)} as {quote('weight ' + name)}" for name in matching.comparisons
    ]
    for field in _fields(matching):
        columns += [f"{side[0]}.{quote(field)}::varchar as {quote(f'{side} {field}')}" for side in ("left", "right")]
    others = "spine_rows" if matching.spine else "left_rows"
    result = engine.execute(
        f"""select a.key as left_key, b.key as right_key, p.probability, p.decision, p.prior, {", ".join(columns)}
            from (from pairs where {which} limit {EACH}) as p
            join left_rows as l on l.n = p.n join {others} as r on r.n = p.other
            join keys as a on a.n = p.n join keys as b on b.n = p.other
            order by p.probability desc, p.match_weight desc, p.n, p.other"""
    )
    names = [name for name, *_ in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _fields(matching: Matching) -> list[str]:
    """Return the fields that comparisons read, in order."""
    texts = [level.when for comparison in matching.comparisons.values() for level in comparison.levels]
    return list(dict.fromkeys(name.partition("_")[2] for text in texts for name in sorted(parse(text).fields)))


def _pair(matching: Matching, pair: dict[str, Any]) -> str:
    steps = []
    for name, comparison in matching.comparisons.items():
        level = pair[f"level {name}"]
        said = "no level holds" if level is None else comparison.levels[level].is_
        steps.append(Step(name, said, pair[f"weight {name}"]))
    values: list[tuple[str, ...]] = [("field", "left", "right")]
    values += [(field, pair[f"left {field}"] or "", pair[f"right {field}"] or "") for field in _fields(matching)]
    title = f"{pair['left_key']} and {pair['right_key']}: {pair['decision']}, probability {pair['probability']:.6f}"
    return f"<div class='pair'><b>{escape(title)}</b>{_table(values)}{waterfall_svg(pair['prior'], steps)}</div>"
