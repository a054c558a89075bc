"""`motlan bench pull`: pull simulated registers over their own protocols, beside a floor and a peer.

Four protocols, a dataset each: SOAP (population), REST (insurance), XML files (tax), SQL (education). Each is pulled by

- *ours*: the declared adapter, page by page to Arrow batches, as landing takes them, with the payload as received;
- the *floor*: the same bytes fetched by bare httpx, or by COPY from the database, unparsed (`bench.bare`);
- a *peer*: zeep's objects, dlt, lxml's tree of the whole file (`bench.peers.zeep_objects`, `dlt_sources`, `lxml_tree`), to rows.

By turns, in processes of their own, after a first page that is not timed (libraries load much on first use) and a full
collection of garbage (Python looks through all that the libraries left at some moment, which takes longer than a small pull
does, and it is chance whose pull that moment falls into). Nobody is paced: the adapters' politeness (`pace` in
agencies.yaml) is set aside, and the insurance answers whatever is asked.

Figures, `<protocol>_` before each, medians of the rounds:

- `rows_s`, `peer_rows_s`: rows a second, end to end, from the running simulator; `floor_s`: the floor's seconds.
- `peer_ratio`: the peer's seconds over ours, of the same round (more is better); `floor_ratio`: ours over the floor's.
- `replay_*`, for SOAP and REST: the same against a server that only sends the recorded answers again. The simulators render a
  page while one waits, which costs every tool alike; files and databases do not. So this compares the clients alone.
- `cpu_us_row`, `peer_cpu_us_row`: processor time of the client, microseconds a row.
- `peak_rss_mb`, `peer_peak_rss_mb`: greatest resident memory of the client's process, libraries and all. `memory_growth`: ours
  at the end of the pull over what it was when a quarter of the rows was there.
- `differs`: rows that are not, value by value, the register's own; `rows`: how many were pulled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench import replay, world
from bench.progress import Memory, Tell
from motlan import settings as environment
from motlan.adapter import Pace, Page, Source
from motlan.config import registry as declared
from motlan.config.registry import Dataset
from motlan.expressions import literal, one, quote

DATASETS = {
    "soap": "population_citizens",
    "rest": "insurance_members",
    "xml": "tax_taxpayers",
    "sql": "education_pupils",
}
PEERS = {
    "soap": "bench.peers.zeep_objects:pull",
    "rest": "bench.peers.dlt_sources:pull_rest",
    "xml": "bench.peers.lxml_tree:pull",
    "sql": "bench.peers.dlt_sources:pull_sql",
}
FLOORS = {name: f"bench.bare:pull_{name}" for name in DATASETS}
REPLAYED = ("soap", "rest")
UNPACED = Pace(requests_per_second=1e6)

Pull = Callable[[Source], Generator[int, None, None]]
Ends = dict[str, str]
"""Where a source is: `live` -> endpoint, and `replay` -> endpoint where its answers are replayed."""


def run(
    *, people: int, seed: int, dirt: str, rounds: int, peer: bool, folder: Path | None, tell: Tell
) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        people: Size of the simulated country.
        seed: Its seed.
        dirt: A profile of `dirt.yaml`.
        rounds: Turns of floor, ours and peer; medians are told.
        peer: Whether the peers run too.
        folder: Where to work; None for a folder that is removed afterwards.
        tell: Told how far it is.

    Returns:
        `figures`, see above.
    """
    from simulators import Agencies

    with world.work_folder(environment.load(), folder, "pull") as work:
        tell("making the world", 0, 0)
        world.apart("making the world", make, work / "world", people, seed, dirt)
        tell("starting the agencies", 0, 0)
        with Agencies(work / "world", insurance_capacity=1e6) as agencies, _environment(agencies.env):
            tell("checking what is pulled", 0, 0)
            world.apart("checking", check, work)
            with replay.serving({name: work / "recorded" / name for name in REPLAYED}) as replayed:
                ends = {name: {"live": _source(name).endpoint} for name in DATASETS}
                for name, endpoint in replayed.items():
                    ends[name]["replay"] = endpoint
                timed = _rounds(work, ends, rounds, peer, tell)
        return {"figures": _figures(timed, json.loads((work / "checked.json").read_text(encoding="utf-8")))}


def make(folder: Path, people: int, seed: int, dirt: str) -> None:
    """Make a world whose agencies can be started."""
    from simulators import make_world

    make_world(folder, people=people, seed=seed, dirt=dirt)


@contextlib.contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """Let this process and those that it starts see these variables."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _source(protocol: str) -> Source:
    return dataclasses.replace(declared.load().datasets[DATASETS[protocol]].source(), pace=UNPACED)


def _rounds(work: Path, ends: dict[str, Ends], rounds: int, peer: bool, tell: Tell) -> dict[str, list[Any]]:
    """Run all tools by turns; return what each told, by `tool protocol`."""
    turns = [("floor", tuple(DATASETS))]
    for protocol in DATASETS:
        turns += [(tool, (protocol,)) for tool in ("ours", "peer") if peer or tool == "ours"]
    timed: dict[str, list[Any]] = {}
    for number in range(rounds):
        for turn, (tool, protocols) in enumerate(turns):
            tell(f"pulling {', '.join(protocols)}: {tool}", number * len(turns) + turn, rounds * len(turns))
            world.apart(f"{tool} pulling", measure, work, tool, {name: ends[name] for name in protocols})
            for name in protocols:
                told = json.loads((work / f"{tool}-{name}.json").read_text(encoding="utf-8"))
                timed.setdefault(f"{tool} {name}", []).append(told)
    return timed


def measure(work: Path, tool: str, ends: dict[str, Ends]) -> None:
    """Pull each source from each of its ends; write what it took to `<tool>-<protocol>.json`."""
    totals = json.loads((work / "checked.json").read_text(encoding="utf-8"))
    for protocol, places in ends.items():
        source, pull = _source(protocol), _tool(tool, protocol)
        told = {}
        for place, endpoint in places.items():
            told[place] = _timed(pull, dataclasses.replace(source, endpoint=endpoint), totals[protocol]["rows"])
        (work / f"{tool}-{protocol}.json").write_text(json.dumps(told), encoding="utf-8")


def _timed(pull: Pull, source: Source, total: int) -> dict[str, float]:
    with contextlib.closing(pull(source)) as first:
        next(first, None)
    gc.collect()
    memory, rows, quarter = Memory(), 0, 0.0
    with memory.watched():
        began, cpu = time.perf_counter(), time.process_time()
        for count in pull(source):
            rows += count
            if not quarter and rows >= total / 4:
                quarter = memory.peak_mb
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "rows": rows, "peak_mb": memory.peak_mb, "quarter_mb": quarter}


def _tool(tool: str, protocol: str) -> Pull:
    if tool == "ours":
        return _ours(protocol)
    module, _, name = {"floor": FLOORS, "peer": PEERS}[tool][protocol].partition(":")
    pull: Pull = getattr(importlib.import_module(module), name)
    return pull


def _ours(protocol: str) -> Pull:
    """Return the pull by the declared adapter, which gives each page's rows."""
    kind = type(declared.load().datasets[DATASETS[protocol]].open())
    return lambda source: (page.rows.num_rows for page in kind(source).pull(None))


def check(work: Path) -> None:
    """Pull everything once: compare it with the registers' own rows, and record the answers that are replayed."""
    registry = declared.load()
    told = {}
    for protocol, name in DATASETS.items():
        source, dataset = _source(protocol), registry.datasets[name]
        if protocol in REPLAYED:
            replay.record(source, protocol, work / "recorded" / protocol)
        pulled = work / f"pulled-{protocol}.parquet"
        _write(type(dataset.open())(source).pull(None), list(source.columns), pulled)
        served = _served(protocol, dataset)
        told[protocol] = _compare(served, pulled, work / "world" / "registers" / name / "rows.parquet")
    (work / "checked.json").write_text(json.dumps(told), encoding="utf-8")


def _write(pages: Iterator[Page], columns: list[str], target: Path) -> None:
    schema = pa.schema([(name, pa.string()) for name in columns])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for page in pages:
            writer.write_batch(page.rows.select(columns))


def _served(protocol: str, dataset: Dataset) -> dict[str, str]:
    """Return the columns that a simulator serves: raw column -> SQL of its value in the register's own rows."""
    if protocol != "soap":
        named = {dataset.key: "_key", dataset.moment: "_moment"}
        return {name: named.get(name, name) for name in dataset.columns if name != "_drop"}
    from simulators.population_wsdl import FORMS

    form = FORMS["qcvn109"]
    found = {}
    for name, path in dataset.columns.items():
        node: Any = form
        for step in path.split("/"):
            node = node.get(step) if isinstance(node, dict) else None
        if isinstance(node, str):
            found[name] = node
    return found


def _compare(served: dict[str, str], pulled: Path, register: Path) -> dict[str, int]:
    """Count the pulled rows, and those of either side that the other has not."""
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        mine = ", ".join(f"coalesce({quote(name)}, '')" for name in served)
        theirs = ", ".join(f"coalesce({own}, '')" for own in served.values())
        con.execute(f"create view mine as select {mine} from {_file(pulled)}")
        con.execute(f"create view theirs as select {theirs} from {_file(register)}")
        counts = [
            one(con, f"select count(*) from {side}")[0]
            for side in ("mine", "(from mine except all from theirs)", "(from theirs except all from mine)")
        ]
    return {"rows": counts[0], "differs": counts[1] + counts[2]}


def _file(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _figures(timed: dict[str, list[Any]], checked: dict[str, Any]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in DATASETS:
        ours, floor, peer = (timed.get(f"{tool} {name}", []) for tool in ("ours", "floor", "peer"))
        figures |= {f"{name}_rows": checked[name]["rows"], f"{name}_differs": checked[name]["differs"]}
        for place in ours[0]:
            before = f"{name}_" if place == "live" else f"{name}_{place}_"
            figures |= {before + key: value for key, value in _place(place, ours, floor, peer).items()}
        live = [told["live"] for told in ours]
        figures[f"{name}_peak_rss_mb"] = round(statistics.median(told["peak_mb"] for told in live), 1)
        figures[f"{name}_memory_growth"] = statistics.median(told["peak_mb"] / told["quarter_mb"] for told in live)
        if peer:
            peaks = [told["live"]["peak_mb"] for told in peer]
            figures[f"{name}_peer_peak_rss_mb"] = round(statistics.median(peaks), 1)
    return figures


def _place(place: str, ours: list[Any], floor: list[Any], peer: list[Any]) -> dict[str, float]:
    mine, bare, theirs = ([told[place] for told in tool] for tool in (ours, floor, peer))
    figures = {
        "rows_s": statistics.median(told["rows"] / told["seconds"] for told in mine),
        "cpu_us_row": statistics.median(told["cpu"] / told["rows"] * 1e6 for told in mine),
        "floor_s": statistics.median(told["seconds"] for told in bare),
        "floor_ratio": statistics.median(m["seconds"] / b["seconds"] for m, b in zip(mine, bare, strict=True)),
    }
    if theirs:
        if {told["rows"] for told in theirs} != {told["rows"] for told in mine}:
            raise ValueError("a peer pulled other rows than ours")
        ratios = [t["seconds"] / m["seconds"] for t, m in zip(theirs, mine, strict=True)]
        figures |= {
            "peer_rows_s": statistics.median(told["rows"] / told["seconds"] for told in theirs),
            "peer_cpu_us_row": statistics.median(told["cpu"] / told["rows"] * 1e6 for told in theirs),
            "peer_ratio": statistics.median(ratios),
        }
    return figures
