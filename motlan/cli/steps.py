"""What the steps of a run counted, as a table or for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from motlan.cli.output import Table, out
from motlan.ingest import watermark as watermarks
from motlan.ingest.drift import described

_HIDDEN = {
    "run",
    "seconds",
    "snapshots",
    "chunks",
    "rules",
    "version",
    "profile",
    "key",
    "cursor",
    "inputs",
    "published",
}
_HIDDEN |= {"related_entities", "guard", "written", "began_at", "held", "filled", "base", "versions", "staged", "model"}


def describe_counts(counts: Mapping[str, Any]) -> str:
    """Return a step's counts in words, without what only machines need."""
    shown = dict(counts) | ({"drift": described(counts["drift"])} if "drift" in counts else {})
    shown |= {"cursors": watermarks.described(counts["cursors"])} if "cursors" in counts else {}
    words = (
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in shown.items()
        if name not in _HIDDEN and value not in ("", None)
    )
    return ", ".join(words)


def show_steps(counts: dict[str, Any], as_json: bool, title: str) -> None:
    """Print what the steps of a run counted."""
    if as_json:
        out.print_json(json.dumps(counts))
        return
    table = Table("step", "seconds", "what happened", title=title)
    for step, counted in counts.items():
        if isinstance(counted, dict):
            table.add_row(step, str(counted.get("seconds", "")), escape(describe_counts(counted)))
    out.print(table)
