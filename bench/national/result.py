"""The figures of a national benchmark, from what its journal holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.national import disk
from bench.national.journal import Entry, Journal
from bench.national.pipeline import RECONCILE, SYNC, Setting

TIMED = (*SYNC, *RECONCILE)
LOAD = "project"


def summed(entries: Sequence[Entry]) -> dict[str, Any]:
    """Sum the tries of one step: `seconds`, `cpu_s`, `rows`, `rows_s`, peaks, bytes read and written, `tries`."""
    seconds = sum(entry.seconds for entry in entries)
    rows = sum(entry.rows for entry in entries if entry.finished)
    return {
        "seconds": seconds,
        "cpu_s": sum(entry.cpu_s for entry in entries),
        "rows": rows,
        "rows_s": rows / seconds if seconds else None,
        "peak_rss_mb": max((entry.peak_rss_mb for entry in entries), default=0.0),
        "store_peak_rss_mb": max((entry.store_peak_mb for entry in entries), default=0.0),
        "read_mb": sum(entry.read_mb for entry in entries),
        "written_mb": sum(entry.written_mb for entry in entries),
        "spill_mb": max((entry.spill_mb for entry in entries), default=0.0),
        "tries": len(entries),
    }


def table(journal: Journal, phase: str) -> dict[str, dict[str, Any]]:
    """Return step -> its sums, in the order in which they began."""
    names = dict.fromkeys(entry.step for entry in journal.of(phase))
    return {name: summed(journal.of(phase, name)) for name in names}


def result(journal: Journal, setting: Setting) -> dict[str, Any]:
    """Return `figures` (name -> number or null), and `steps`, `floor`, `peers` by step."""
    steps, floor = table(journal, "pipeline"), table(journal, "floor")
    timed = [steps[name] for name in TIMED if name in steps]
    seconds = sum(step["seconds"] for step in timed)
    done, rows = journal.results["pipeline"], journal.results["pipeline"]["rows"]
    floor_s = sum(step["seconds"] for step in floor.values())
    splink = table(journal, "splink").get("link")
    pydantic = journal.results["pydantic"]
    figures: dict[str, Any] = {
        "seconds": seconds,
        "peak_rss_mb": max(step["peak_rss_mb"] for step in timed),
        "store_peak_rss_mb": max(step["store_peak_rss_mb"] for step in steps.values()),
        "spill_mb": max(step["spill_mb"] for step in timed),
        "ns_per_row": seconds / rows * 1e9,
        "rows_s": rows / seconds,
        "floor_seconds": floor_s,
        "floor_peak_rss_mb": max(step["peak_rss_mb"] for step in floor.values()),
        "floor_ratio": seconds / floor_s,
        "splink_seconds": splink and splink["seconds"],
        "splink_peak_rss_mb": splink and splink["peak_rss_mb"],
        "splink_ratio": splink and splink["seconds"] / steps["link"]["seconds"],
        "pydantic_seconds": pydantic["seconds"],
        "pydantic_ratio": pydantic["seconds"] / steps["clean"]["seconds"],
        **journal.results["score"],
        **{name: done[name] for name in ("rows", "accepted", "quarantined", "persons")},
        "world_seconds": table(journal, "world")["make"]["seconds"],
        "disk_mb": disk.used(setting.folder) / 2**20,
        "resumed": journal.resumed,
        "interrupted_seconds": sum(entry.seconds for entry in journal.of("pipeline") if not entry.finished),
    }
    for name, step in steps.items():
        figures |= {f"{name}_{what}": step[what] for what in ("seconds", "rows_s", "peak_rss_mb", "spill_mb")}
    figures |= {f"floor_{name}_seconds": step["seconds"] for name, step in floor.items()}
    return {"figures": figures, "steps": steps, "floor": floor, "peers": {"splink": splink, "pydantic": pydantic}}
