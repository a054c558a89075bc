"""`motlan bench store`: the first load of golden persons into PostgreSQL, look-ups after it, and a further publication.

The rows are synthetic, made by the engine in bulk in the lake's own form: the person's fields, as often filled and as long as
a country's are. The bus then projects them on the embedded server as any publication: golden table, feed, keys, indexes.

The floor, in the same run and on the same server: the same golden rows as CSV, by one bare COPY of psycopg into one table without
any index, made in the same transaction, which spares it the log as well.

Figures: `load_s` (rows copied into golden table and feed, and the commit), `index_s` (keys, indexes, statistics), `floor_ratio`
(both over the floor's seconds), `cpu_s` (processors' seconds of ours and of the server), `change_s` (a publication that changes
one person in a thousand), `server_peak_mb` (shared pages counted once), look-ups in milliseconds, medians over one connection.
"""

from __future__ import annotations

import json
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import sqlalchemy as sa

from bench import world
from bench.national.watch import tree_mb
from bench.progress import Tell
from motlan import settings as environment
from motlan.config import registry as declared
from motlan.errors import ConfigurationError
from motlan.expressions import connect, literal, quote
from motlan.lake.iceberg import Lake
from motlan.lake.tables import golden_table
from motlan.ledger import runs
from motlan.projection.load import project
from motlan.projection.tables import mirror_of
from motlan.settings import Settings
from motlan.store import bulk, open_store, server, tables
from motlan.workspace import Workspace

ENTITY = "person"
BYTES_A_ROW = 1_500
"""Disk that a row takes at the most: lake, CSV, floor, golden table, feed, indexes."""
RESERVE = 6_000_000_000
"""Disk for the server itself and its log."""
CHANGED = 1_000
"""One person in so many changes."""
LOOKUPS = 300


def _digits(salt: int, width: int) -> str:
    return f"lpad((hash(i, {salt}) % {10**width})::varchar, {width}, '0')"


def _one_of(salt: int, *values: str) -> str:
    return f"([{', '.join(map(literal, values))}])[1 + (hash(i, {salt}) % {len(values)})::int]"


_NAME = f"""{_one_of(1, "Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh")} || ' ' || {_one_of(2, "Văn", "Thị", "Đức", "Thị Minh")}
    || ' ' || {_one_of(3, "Anh", "Bình", "Cường", "Phương", "Thảo", "Hùng", "Khương")}"""
FIELDS = {
    "personal_id": (97, 4, "'0' || " + _digits(5, 11)),
    "old_identity_number": (35, 6, _digits(7, 9)),
    "full_name": (100, 8, _NAME),
    "birth_date": (100, 9, "(date '1930-01-01' + (hash(i, 10) % 34000)::int)::varchar"),
    "sex": (100, 11, _one_of(12, "male", "female")),
    "ethnicity": (97, 13, _digits(14, 2)),
    "marital_status": (90, 15, _one_of(16, "single", "married", "divorced_or_widowed")),
    "birth_place": (97, 17, _digits(18, 5)),
    "birth_province": (97, 19, _digits(20, 2)),
    "residence_commune": (97, 21, _digits(22, 5)),
    "residence_candidates": (0, 23, "''"),
    "residence_province": (98, 24, _digits(25, 2)),
    "death_date": (3, 26, "'2020-05-05'"),
    "employer_tax_code": (35, 27, _digits(28, 10)),
    "tax_code": (28, 29, _digits(30, 10)),
    "taxpayer_status": (28, 29, "'00'"),
    "social_insurance_code": (68, 31, _digits(32, 10)),
    "health_card_number": (68, 31, "'GD4' || " + _digits(33, 12)),
    "insurance_status": (68, 31, "'active'"),
    "education_id": (26, 34, _digits(35, 10)),
    "school": (26, 34, "'79' || " + _digits(36, 6)),
    "school_class": (25, 34, "'7'"),
    "school_year": (25, 34, "'2026-2027'"),
    "enrolment_status": (25, 34, "'dang_hoc'"),
    "staff_position": (1, 37, "'giao_vien'"),
    "staff_status": (1, 37, "'dang_lam'"),
}
"""Field -> how many of a hundred persons have it, a number that says which (fields with one number go together), its value."""
OTHER = (30, 40, _digits(41, 10))
"""Of a field that is not named above."""


def run(*, rows: int, folder: Path | None, tell: Tell) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        rows: Golden persons.
        folder: Where to work; None for a folder under MOTLAN_VAR. What is made in it is removed afterwards.
        tell: Told how far it is.

    Returns:
        `figures` (name -> number) and `steps` (what the load did -> seconds).

    Raises:
        ConfigurationError: The disk is too small.
    """
    settings = environment.load()
    with world.work_folder(settings, folder, "store") as work:
        _require_disk(work, rows)
        mine = _settings(work)
        tell("making rows", 0, 0)
        server.start(mine)
        try:
            world.apart("making rows", make, work, rows)
            return _measure(mine, work, rows, tell)
        finally:
            server.stop(mine)


def _require_disk(work: Path, rows: int) -> None:
    needed, free = rows * BYTES_A_ROW + RESERVE, shutil.disk_usage(work).free
    if needed > free:
        raise ConfigurationError(
            f"{rows:,} rows need {needed / 1e9:.0f} GB on disk, and {free / 1e9:.0f} GB are free",
            where=str(work),
            next_step="name a folder on a larger disk with --work, or fewer rows with --rows.",
        )


def _settings(work: Path) -> Settings:
    return replace(environment.load(), var=work / "var", database_url=None)


def _open(work: Path) -> Workspace:
    settings = _settings(work)
    store = open_store(settings)
    return Workspace(settings, declared.load(settings.home), store, Lake(settings, store))


def make(work: Path, rows: int) -> None:
    """Make the rows of a first publication and of a further one, on the installation in a work folder."""
    make_rows(_open(work), work, rows)


def make_rows(opened: Workspace, work: Path, rows: int) -> None:
    """Put two runs' golden rows into a lake, not yet published, and the first one's as CSV into a folder, for the floor."""
    fields = opened.registry.entity(ENTITY).fields
    first, second = (runs.begin(opened.store, "reconcile", ENTITY).id for _ in range(2))
    table, folder = golden_table(ENTITY), opened.lake.folder
    files = [folder(table, name) / "000000.parquet" for name in (first, second)]
    with connect(temp_dir=work / "spill", allowed=[work], **opened.settings.share()) as engine:
        for name, path, query in zip(
            (first, second), files, (_first(rows, fields), _second(rows, fields)), strict=True
        ):
            engine.execute(
                f"copy (select *, {literal(name)} as _run from ({query})) to {literal(str(path))} "
                "(format parquet, compression zstd)"
            )
        kept = ", ".join(("entity_id", "1 as publication", *map(quote, fields)))
        engine.execute(
            f"copy (select {kept} from read_parquet({literal(str(files[0]))})) to {literal(str(work / 'floor.csv'))} "
            "(format csv, header false)"
        )
    for name in (first, second):
        opened.lake.commit(table, name)
    with opened.store.engine.begin() as connection:
        connection.execute(sa.update(tables.runs).values(state="published"))


def _persons(numbers: str, fields: tuple[str, ...], rows: int) -> str:
    """Return the SQL of persons by their numbers `i`: ids are random, and ascend with the number as the diff writes them."""
    values = []
    for field in fields:
        share, salt, value = FIELDS.get(field, OTHER)
        values.append(f"case when hash(i, {salt}) % 100 < {share} then {value} end as {quote(field)}")
    identity = (
        f"printf('%08x%024x', i * 4294967295 // {rows + 1}, (hash(i, 0) >> 1)::bigint)::uuid::varchar as entity_id"
    )
    return f"select i, {identity}, {', '.join(values)} from {numbers}"


def _first(rows: int, fields: tuple[str, ...]) -> str:
    present = ", ".join(f"case when {quote(field)} is not null then {literal(field)} end" for field in fields)
    return f"""select * exclude (i), 'created' as _op, 'bench' as _merge_version, i + 1 as _ordinal,
                      list_filter([{present}], lambda name: name is not null) as _changed, null::varchar[] as _others
               from ({_persons(f"range({rows}) as numbers(i)", fields, rows)})"""


def _second(rows: int, fields: tuple[str, ...]) -> str:
    """Return the SQL of changes: of every ten persons that change eight move, one goes, and one comes."""
    moved = _persons(f"(select i * {CHANGED} as i from range({rows // CHANGED}) as numbers(i))", fields, rows)
    return f"""select * exclude (i) replace (case when _op = 'created' then uuid()::varchar else entity_id end as entity_id),
                      'bench' as _merge_version, row_number() over () as _ordinal, null::varchar[] as _others
               from (select * replace ('00001' as residence_commune), ['residence_commune'] as _changed,
                            case i // {CHANGED} % 10 when 0 then 'created' when 1 then 'removed' else 'updated' end as _op
                     from ({moved}))"""


def publish(opened: Workspace, number: int) -> None:
    """Make a publication of the run that has this number, counted from one."""
    with opened.store.engine.begin() as connection:
        run_id = connection.scalars(sa.select(tables.runs.c.id).order_by(tables.runs.c.id)).all()[number - 1]
        changes = sa.func.coalesce(sa.func.max(tables.publications.c.first_seq + tables.publications.c.changes), 1)
        first_seq = connection.execute(sa.select(changes)).scalar_one()
        with opened.engine("counting") as engine:
            files = opened.lake.files(golden_table(ENTITY), {run_id})
            (found,) = engine.execute(f"select count(*) from read_parquet({files})").fetchall()
        values = {"number": number, "run": run_id, "entity": ENTITY, "first_seq": first_seq, "changes": found[0]}
        connection.execute(sa.insert(tables.publications).values(values))


def load(work: Path, number: int) -> None:
    """Publish and project; write the seconds of what it did, in order, to `load<number>.json`."""
    opened = _open(work)
    publish(opened, number)
    told: list[tuple[str, float]] = []
    began, cpu = time.perf_counter(), _cpu_s()
    project(opened, ENTITY, lambda what: told.append((what, time.perf_counter())))
    ends = [*(moment for _, moment in told[1:]), time.perf_counter()]
    steps = {"open": told[0][1] - began}
    for (what, moment), end in zip(told, ends, strict=True):
        steps[what] = steps.get(what, 0) + end - moment
    _keep(work / f"load{number}.json", steps, _cpu_s() - cpu)


def floor(work: Path) -> None:
    """Copy the CSV into one table without index; write its seconds to `floor.json`."""
    opened = _open(work)
    fields = ", ".join(f"{field} text" for field in opened.registry.entity(ENTITY).fields)
    began, cpu = time.perf_counter(), _cpu_s()
    with opened.store.engine.begin() as connection:
        connection.execute(sa.text(f"create table floor (person_id uuid, publication bigint, {fields})"))
        bulk.copy_in(connection, "floor", work / "floor.csv")
    _keep(work / "floor.json", {"copy": time.perf_counter() - began}, _cpu_s() - cpu)
    with opened.store.engine.begin() as connection:
        connection.execute(sa.text("drop table floor"))
    (work / "floor.csv").unlink()


def _cpu_s() -> float:
    return float(sum(psutil.Process().cpu_times()[:2]))


def _keep(path: Path, steps: dict[str, float], cpu_s: float) -> None:
    path.write_text(json.dumps({"steps": steps, "cpu_s": cpu_s}), encoding="utf-8")


class _Onlooker:
    """Watches this process with its children, and the embedded server.

    Looks twice a second: more often, looking would take a good part of a processor.

    Attributes:
        ours_mb: The most memory that this process and its children held together while watched, in MiB.
        server_mb: The same of the server's processes, shared pages counted once.
    """

    def __init__(self, store: Path) -> None:
        self._server = psutil.Process(int((store / "postmaster.pid").read_text(encoding="ascii").split()[0]))
        self.ours_mb = self.server_mb = 0.0

    def server_cpu_s(self) -> float:
        """Return the processors' seconds of all processes of the server, those that ended included."""
        times = self._server.cpu_times()
        alive = sum(sum(child.cpu_times()[:2]) for child in self._server.children())
        return float(times.user + times.system + times.children_user + times.children_system + alive)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample the memory while the block runs."""
        stop = threading.Event()

        def sample() -> None:
            while not stop.wait(0.5):
                self.ours_mb = max(self.ours_mb, tree_mb(psutil.Process(), "rss"))
                self.server_mb = max(self.server_mb, tree_mb(self._server, "pss"))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield
        finally:
            stop.set()
            sampler.join()


def _measure(settings: Settings, work: Path, rows: int, tell: Tell) -> dict[str, Any]:
    onlooker, idle_mb = _Onlooker(settings.store), tree_mb(psutil.Process(), "rss")

    def timed(name: str, call: Callable[..., None], *given: Any) -> dict[str, Any]:
        tell(name, 0, 0)
        before = onlooker.server_cpu_s()
        world.apart(name, call, work, *given)
        found = json.loads((work / f"{call.__name__}{''.join(map(str, given))}.json").read_text(encoding="utf-8"))
        return {"seconds": sum(found["steps"].values()), "server_cpu_s": onlooker.server_cpu_s() - before, **found}

    bare = timed("copying bare", floor)
    wal = _wal(settings)
    with onlooker.watching():
        first = timed("loading", load, 1)
    wal = _wal(settings) - wal
    size = _sizes(settings)
    lookups = _lookups(settings, rows)
    tell("loading changes", 0, 0)
    second = timed("changing", load, 2)
    index_s = sum(seconds for what, seconds in first["steps"].items() if what.startswith("index"))
    cpu_s, floor_cpu_s = (found["cpu_s"] + found["server_cpu_s"] for found in (first, bare))
    figures = {
        "rows": rows,
        "seconds": first["seconds"],
        "load_s": first["seconds"] - index_s,
        "index_s": index_s,
        "rows_per_s": rows / first["seconds"],
        "floor_s": bare["seconds"],
        "floor_ratio": first["seconds"] / bare["seconds"],
        "cpu_s": cpu_s,
        "floor_cpu_s": floor_cpu_s,
        "floor_cpu_ratio": cpu_s / floor_cpu_s,
        "wal_mb": wal / 2**20,
        "peak_rss_mb": onlooker.ours_mb - idle_mb,
        "server_peak_mb": onlooker.server_mb,
        **size,
        **lookups,
        "change_rows": rows // CHANGED,
        "change_s": second["seconds"],
        "change_cpu_s": second["cpu_s"] + second["server_cpu_s"],
    }
    return {
        "figures": figures,
        "steps": {what: round(seconds, 3) for what, seconds in first["steps"].items()},
        "change_steps": {what: round(seconds, 3) for what, seconds in second["steps"].items()},
    }


def _ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(open_store(settings).url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def _wal(settings: Settings) -> int:
    """Return how many bytes of log the server has written."""
    return int(_ask(settings, "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")[0][0])


def _sizes(settings: Settings) -> dict[str, float]:
    mirror = mirror_of(declared.load(settings.home).entity(ENTITY))
    sizes: dict[str, float] = {"table_mb": 0, "index_mb": 0}
    for table, name in ((mirror.golden_table, "golden"), (mirror.feed_table, "feed")):
        query = f"""select count(*), sum(pg_table_size(relid)) / 2^20, sum(pg_indexes_size(relid)) / 2^20
                    from pg_partition_tree('{table}') where isleaf"""
        ((parts, rows_mb, index_mb),) = _ask(settings, query)
        sizes |= {f"{name}_partitions": parts, f"{name}_mb": rows_mb, f"{name}_index_mb": index_mb}
        sizes["table_mb"] += rows_mb
        sizes["index_mb"] += index_mb
    return sizes


def _lookups(settings: Settings, rows: int) -> dict[str, float]:
    """Return the median milliseconds of look-ups of persons drawn at random, and of pages of the feed."""
    share = min(100.0, 2_000_000 / rows)
    drawn = _ask(
        settings,
        f"select person_id, personal_id from golden_person tablesample system ({share}) where personal_id is not null "
        f"order by random() limit {LOOKUPS}",
    )
    asked = {
        "person_id_ms": ("select * from golden_person where person_id = %s", [row[0] for row in drawn]),
        "personal_id_ms": ("select * from golden_person where personal_id = %s", [row[1] for row in drawn]),
        "feed_page_ms": (
            "select * from feed_person where seq > %s order by seq limit 1000",
            [rows * step // 20 for step in range(20)],
        ),
    }
    found = {}
    with psycopg.connect(open_store(settings).url, autocommit=True) as connection:
        for name, (query, values) in asked.items():
            taken = []
            for value in values:
                began = time.perf_counter()
                connection.execute(query.encode(), [value], prepare=True).fetchall()
                taken.append(time.perf_counter() - began)
            found[name] = statistics.median(taken) * 1000
    return found
