"""`motlan bench charts`: pictures (SVG) and tables (Markdown) of what benchmarks measured, made from their JSON alone.

An SVG carries its title and its numbers as text for those who do not see it, and follows the reader's light or dark theme.
A page holds tables between `<!-- figures NAME -->` and `<!-- end -->`: they are written anew from the JSON, the rest of the page
stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from motlan.errors import ConfigurationError

WIDTH, LEFT, RIGHT, ROW, TOP, PLOT = 720, 190, 110, 24, 56, 260
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:600}.small{fill:#59636e;font-size:12px}
.a{fill:#0969da}.b{fill:#bc4c00}.c{fill:#59636e}path.a{fill:none;stroke:#0969da;stroke-width:2}
path.b{fill:none;stroke:#bc4c00;stroke-width:2}path.c{fill:none;stroke:#59636e;stroke-width:2}.axis{stroke:#d1d9e0}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.a{fill:#4493f8}.b{fill:#db6d28}.c{fill:#9198a1}
path.a{stroke:#4493f8}path.b{stroke:#db6d28}path.c{stroke:#9198a1}.axis{stroke:#3d444d}}"""
SERIES = ("a", "b", "c")
Bar = tuple[str, float, str]
"""Label, value, series."""


def number(value: float) -> str:
    """Write a number with three digits that tell something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.3g}"


def count(people: float) -> str:
    """Write a number of people short: `20k`, `10m`."""
    return f"{people / 1e6:g}m" if people >= 1e6 else f"{people / 1e3:g}k"


def _svg(title: str, described: str, height: float, body: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="t d">',
            f'<title id="t">{escape(title)}</title>',
            f'<desc id="d">{escape(described)}</desc>',
            f"<style>{STYLE}</style>",
            f'<text class="title" x="12" y="26">{escape(title)}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Draw horizontal bars, each with its number."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    body = [f'<text class="small" x="12" y="44">{escape(unit)}</text>']
    for place, (label, value, series) in enumerate(rows):
        y, length = TOP + place * ROW, value / most * (WIDTH - LEFT - RIGHT)
        body += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{series}" x="{LEFT}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 15}">{number(value)}</text>',
        ]
    told = ", ".join(f"{label} {number(value)}" for label, value, _ in rows)
    return _svg(title, f"{unit}: {told}", TOP + len(rows) * ROW + 12, body)


def lines(title: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw lines over the number of people, each point with its number."""
    points = [point for line in series.values() for point in line]
    widest, most = max(x for x, _ in points), max(y for _, y in points) or 1.0
    bottom = TOP + PLOT

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return 60 + point[0] / widest * (WIDTH - 190), bottom - point[1] / most * (PLOT - 30)

    body = [
        f'<text class="small" x="12" y="44">{escape(unit)}, by people</text>',
        f'<path class="axis" d="M60 {bottom}H{WIDTH - 40}"/>',
    ]
    body += [
        f'<text class="small" x="{at((x, 0))[0]:.1f}" y="{bottom + 18}" text-anchor="middle">{count(x)}</text>'
        for x in sorted({x for x, _ in points})
    ]
    for (name, line), kind in zip(series.items(), SERIES, strict=False):
        placed = [at(point) for point in line]
        body.append(f'<path class="{kind}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in placed)}"/>')
        for (x, y), (_, value) in zip(placed, line, strict=True):
            body.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
            body.append(f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle">{number(value)}</text>')
        x, y = placed[-1]
        body.append(f'<text class="small" x="{x + 10:.1f}" y="{y + 14:.1f}">{escape(name)}</text>')
    told = "; ".join(
        f"{name}: " + ", ".join(f"{count(x)} people {number(y)}" for x, y in line) for name, line in series.items()
    )
    return _svg(title, f"{unit}. {told}", bottom + 32, body)


def load(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read results, each as `motlan bench NAME --json` printed it, with its file's name as `name`.

    Raises:
        ConfigurationError: A file is none.
    """
    found = []
    for path in sorted(paths):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            found.append({"name": path.stem, "bench": result["bench"], "args": result["args"], **result})
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                "not a benchmark's result", where=str(path), next_step="write it with `motlan bench NAME --json`."
            ) from None
    return found


def charts(results: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Draw every picture that these results give: file name -> SVG."""
    drawn = {name: svg for result in results for name, svg in _drawn(result).items()}
    if national := _by_people(results):
        drawn["national-time.svg"] = _growth(national, "Time for a row", "nanoseconds", ("ns_per_row",))
        memory = ("peak_rss_mb", "floor_peak_rss_mb", "store_peak_rss_mb")
        drawn["national-memory.svg"] = _growth(national, "Peak memory", "MiB", memory)
    return drawn


def _drawn(result: dict[str, Any]) -> dict[str, str]:
    """Draw what belongs to one result."""
    name = result["name"]
    if result["bench"] == "national":
        return {f"{name}-steps.svg": _steps(result), f"{name}-peers.svg": _peers(result)}
    ratios = [
        (figure, value, "a") for figure, value in result["figures"].items() if figure.endswith("_ratio") and value
    ]
    return {f"{name}-ratios.svg": bars(f"{name}: ratios", "times", ratios)} if ratios else {}


NAMES = {
    "ns_per_row": "the whole way",
    "peak_rss_mb": "the bus",
    "floor_peak_rss_mb": "the floor",
    "store_peak_rss_mb": "PostgreSQL",
}


def _title(result: dict[str, Any]) -> str:
    return f"{count(result['args']['people'])} people, {result['figures']['rows']:,} rows"


def _steps(result: dict[str, Any]) -> str:
    ours = [(name, step["seconds"], "c" if name == "project" else "a") for name, step in result["steps"].items()]
    floor = [(f"floor: {name}", step["seconds"], "b") for name, step in result["floor"].items()]
    return bars(f"Where the time goes: {_title(result)}", "seconds", [*ours, *floor])


def _peers(result: dict[str, Any]) -> str:
    figures = result["figures"]
    named = [
        ("ours, all steps", "seconds", "a"),
        ("floor, bare DuckDB", "floor_seconds", "b"),
        ("ours, link", "link_seconds", "a"),
        ("Splink alone", "splink_seconds", "b"),
        ("ours, clean", "clean_seconds", "a"),
        ("pydantic, rules alone", "pydantic_seconds", "b"),
    ]
    rows = [(label, figures[name], kind) for label, name, kind in named if figures.get(name) is not None]
    return bars(f"Beside the floor and the peers: {_title(result)}", "seconds", rows)


def _growth(results: Sequence[dict[str, Any]], title: str, unit: str, figures: Sequence[str]) -> str:
    lines_ = {
        NAMES[name]: [(r["args"]["people"], r["figures"][name]) for r in results if r["figures"].get(name) is not None]
        for name in figures
    }
    return lines(title, unit, {name: line for name, line in lines_.items() if line})


def tables(results: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Write every block that these results give: name -> Markdown, with pictures beside the page in `charts/`."""
    written = {r["name"]: _section(r, _plain_table(r), list(_drawn(r))) for r in results if r["bench"] != "national"}
    national = _by_people(results)
    if national:
        parts = [_picture("national-time", "Time for a row by people"), _picture("national-memory", "Memory by people")]
        parts += [_section(result, _steps_table(result), list(_drawn(result))) for result in national]
        written["national"] = "\n\n".join([_figures_table(national), *parts])
    return written


COLUMNS = ("seconds", "rows_s", "cpu_s", "peak_rss_mb", "spill_mb", "read_mb", "written_mb")
FIGURES = (
    *("rows", "seconds", "ns_per_row", "peak_rss_mb", "store_peak_rss_mb", "spill_mb", "disk_mb", "floor_seconds"),
    *("floor_ratio", "splink_ratio", "pydantic_ratio", "project_seconds", "resumed", "interrupted_seconds"),
    *("precision", "recall", "f1", "splink_f1", "review_share", "golden_accuracy", "golden_ceiling"),
)
SHARES = frozenset(FIGURES[FIGURES.index("precision") :])


def _picture(name: str, described: str) -> str:
    return f"![{described}](charts/{name}.svg)"


def _by_people(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((r for r in results if r["bench"] == "national"), key=lambda r: r["args"]["people"])


def _option(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {value}"


def _section(result: dict[str, Any], table: str, pictures: Sequence[str]) -> str:
    machine = result["machine"]
    asked = " ".join(_option(name.replace("_", "-"), value) for name, value in result["args"].items())
    return "\n\n".join(
        [
            f"### {result['name']}",
            f"`motlan bench {result['bench']} {asked} --json` on {machine['cpus']} cores, {machine['memory_mb']:,} MiB, "
            f"{machine['system']}, Python {machine['python']}",
            *(
                _picture(name.removesuffix(".svg"), f"{result['name']} in pictures: the table tells its numbers")
                for name in pictures
            ),
            table,
        ]
    )


def _plain_table(result: dict[str, Any]) -> str:
    body = [[f"`{name}`", "" if value is None else number(value)] for name, value in result["figures"].items()]
    return _markdown(["figure", "value"], body)


def _steps_table(result: dict[str, Any]) -> str:
    """Each step, and how many times the whole floor it takes: without `project` these add up to `floor_ratio`."""
    floor = result["figures"]["floor_seconds"]
    body = [
        [f"{prefix}{name}", *(number(step[column] or 0) for column in COLUMNS), number(step["seconds"] / floor)]
        for prefix, part in (("", "steps"), ("floor: ", "floor"))
        for name, step in result[part].items()
    ]
    return _markdown(["step", *COLUMNS, "floors"], body)


def _figures_table(results: Sequence[dict[str, Any]]) -> str:
    head = ["figure", *(f"{count(result['args']['people'])} people" for result in results)]
    body = [[f"`{name}`", *(_cell(name, result["figures"].get(name)) for result in results)] for name in FIGURES]
    return _markdown(head, body)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.5f}" if name in SHARES else number(value)


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def filled(page: str, written: Mapping[str, str]) -> str:
    """Return a page with its tables written anew; a table that no result gives stays as it is."""

    def put(found: re.Match[str]) -> str:
        table = written.get(found["name"])
        return found[0] if table is None else f"<!-- figures {found['name']} -->\n{table}\n<!-- end -->"

    return re.sub(r"<!-- figures (?P<name>\S+) -->\n.*?<!-- end -->", put, page, flags=re.DOTALL)
