"""Where the bus finds its two halves and its state. Settings come from the environment and from nowhere else."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from motlan.errors import ConfigurationError


@dataclass(frozen=True)
class Sizes:
    """How much is done together: memory grows with these, and with nothing else. Results depend on none but `random_rows`.

    Each is a whole number in the environment: `MOTLAN_` and its name in capitals, such as `MOTLAN_RANGE_PERSONS`.

    Attributes:
        landed_chunk_rows: Rows that are landed together, and are a chunk.
        cleaned_chunk_rows: Landed rows that are cleaned and checked together, at the most.
        bucket_rows: Rows that one join takes at the most: what passes through it fits into the memory of one small machine.
        range_persons: Persons that are merged, checked and compared together, about.
        ranges_at_a_time: Person ranges that are cut in one pass over the rows: what is gathered for their files fits into memory.
        golden_partition_rows: Rows of a partition of a golden table in PostgreSQL: a sort of its index fits into memory.
        feed_partition_rows: Changes of a partition of a feed in PostgreSQL.
        random_rows: Rows of each side whose random pairs teach how often different persons agree.
        count_slack: Rows that a source may send beyond twice its own count before the pull is stopped.
        undeclared_columns: Columns that a source may send and nobody declared before the pull is stopped.
        blocking_pairs: Pairs that one blocking rule of `motlan link` may make in any case.
        blocking_pairs_a_row: Pairs that it may make beside these for each row of the files.
        rebase_percent: Rows of later publications, in hundredths of those of their base, from which a base is written anew.
        rest_seconds: How long nobody may be at work on a run between its steps before a new one takes its place.
        changed_percent: Share of an entity's rows, in percent, from which on a reconcile run does everything: linking so many
            anew costs as much.
    """

    landed_chunk_rows: int = 100_000
    cleaned_chunk_rows: int = 200_000
    bucket_rows: int = 12_500_000
    range_persons: int = 1_000_000
    ranges_at_a_time: int = 36
    golden_partition_rows: int = 8_000_000
    feed_partition_rows: int = 10_000_000
    random_rows: int = 400
    count_slack: int = 100_000
    undeclared_columns: int = 1_024
    blocking_pairs: int = 10_000_000
    blocking_pairs_a_row: int = 100
    rebase_percent: int = 20
    rest_seconds: int = 300
    changed_percent: int = 20


def sizes() -> Sizes:
    """Read the sizes.

    Raises:
        ConfigurationError: One is no whole number, or none above 0 (`rest_seconds`: below 0).
    """
    told: dict[str, int] = {}
    for field in fields(Sizes):
        variable = f"MOTLAN_{field.name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        least = 0 if field.name == "rest_seconds" else 1
        if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < least:
            raise ConfigurationError(
                "not a size", where=variable, next_step=f"set it to a whole number from {least} on."
            )
        told[field.name] = int(text)
    return Sizes(**told)


@dataclass(frozen=True)
class Settings:
    """One installation of the bus.

    Attributes:
        home: The declared half: the folder with `adapters/`, `schemas/`, `mapping/` (`MOTLAN_HOME`).
        var: The state: lake, payloads, embedded store (`MOTLAN_VAR`).
        database_url: A PostgreSQL server of yours (`MOTLAN_DATABASE_URL`, or in a file, `MOTLAN_DATABASE_URL_FILE`); None for
            the embedded one.
        feeds_database_url: The same database for the role that serves the feeds (`MOTLAN_FEEDS_DATABASE_URL`, or
            `MOTLAN_FEEDS_DATABASE_URL_FILE`); None for the embedded server's, or for `database_url` where that is set.
        memory_limit: What the engine may use, such as `4GB` (`MOTLAN_MEMORY_LIMIT`).
        threads: How many threads the engine may use (`MOTLAN_THREADS`).
        engine: What runs the steps: `duckdb`, or `spark` (`MOTLAN_ENGINE`).
        spark_master: Where Spark runs: `local[2]`, or a cluster's master URL (`MOTLAN_SPARK_MASTER`).
        debug_sql: Whether libraries' own errors are shown (`MOTLAN_DEBUG_SQL=1`). They quote values: synthetic data only.
        backup: The folder of backups (`MOTLAN_BACKUP`), best on another disk; None where none is set.
        backup_keys: A folder for the backups' keys, apart from the rest (`MOTLAN_BACKUP_KEYS`); None keeps them there.
        backup_days: For how many days backups stay (`MOTLAN_BACKUP_KEEP`): each of the newest hour, one an hour of the newest
            day, and one a day before it.
        checkpoints: A file, or a folder for it, outside `var` (`MOTLAN_CHECKPOINTS`): each publication adds to it what a restore
            is reconciled with. None where none is set.
        log_key_file: The private key that signs the log (`MOTLAN_LOG_KEY`), best where this machine's other accounts and backups
            do not come; None for `keys/log.key` in `var`.
        openlineage_seconds: How many seconds a process waits at the most, in all, for the place that OpenLineage events are sent
            to (`MOTLAN_OPENLINEAGE_SECONDS`).
        log_policy: The witnesses of the log and how many must sign, C2SP tlog-policy (`MOTLAN_LOG_POLICY`); None: none are.
    """

    home: Path
    var: Path
    database_url: str | None
    memory_limit: str
    threads: int
    engine: str = "duckdb"
    spark_master: str = "local[2]"
    debug_sql: bool = False
    feeds_database_url: str | None = None
    backup: Path | None = None
    backup_keys: Path | None = None
    backup_days: int = 14
    checkpoints: Path | None = None
    log_key_file: Path | None = None
    log_policy: Path | None = None
    openlineage_seconds: float = 5.0

    @property
    def keys(self) -> Path:
        """Folder of the keys that no other place is named for."""
        return self.var / "keys"

    @property
    def log_key(self) -> Path:
        """File of the private key that signs the log."""
        return self.log_key_file or self.keys / "log.key"

    @property
    def memory(self) -> int | None:
        """What the engine may use, in bytes; None where the limit is a share of the machine's."""
        told = re.fullmatch(r"([0-9.]+) *([KMGT]?)(I?)B", self.memory_limit.strip().upper())
        if not told:
            return None
        number, unit, binary = told.groups()
        return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(unit or " "))

    def abreast(self, tasks: int, need: int) -> int:
        """Return how many engine sessions the limits let do tasks side by side, if each needs so many bytes; 1 at the least."""
        return max(1, min(tasks, self.threads, (self.memory or 0) // need))

    def share(self, of: int = 1) -> dict[str, Any]:
        """Return the limits of each of so many engine sessions that share them: `memory_limit` and `threads`."""
        if of == 1 or self.memory is None:
            return {"memory_limit": self.memory_limit, "threads": max(1, self.threads // of)}
        return {"memory_limit": f"{self.memory // of // 10**6}MB", "threads": max(1, self.threads // of)}

    @property
    def store(self) -> Path:
        """Folder of the embedded PostgreSQL server."""
        return self.var / "store"

    @property
    def passwords(self) -> Path:
        """Folder of the embedded PostgreSQL's passwords, a file a role."""
        return self.var / "passwords"

    @property
    def private(self) -> list[Path]:
        """The folders that nobody else may enter: the state's, and the checkout's `var/` where it lies in there."""
        above = self.home / "var"
        return [*([above] if above in self.var.parents else []), self.var]

    @property
    def lake(self) -> Path:
        """Folder of the Iceberg tables' files."""
        return self.var / "lake"

    @property
    def payloads(self) -> Path:
        """Folder of the payloads as received, compressed, each under its hash."""
        return self.var / "payloads"

    @property
    def scratch(self) -> Path:
        """Folder for the engine's spill files."""
        return self.var / "scratch"


def secret(variable: str) -> str | None:
    """Return a secret: the variable's own value, or what the file holds that `<variable>_FILE` names; None without both.

    A file is how container engines hand a secret over; its last line break belongs to no secret.

    Raises:
        ConfigurationError: The file cannot be read, or is empty.
    """
    if told := os.environ.get(variable):
        return told
    if not (named := os.environ.get(f"{variable}_FILE")):
        return None
    try:
        told = Path(named).read_text(encoding="utf-8").rstrip("\r\n")
        problem = "" if told else "this file is empty"
    except (OSError, ValueError) as error:  # the text of a wrong encoding's error quotes what it read
        problem = f"this file cannot be read ({type(error).__name__})"
    if problem:
        raise ConfigurationError(
            problem, where=f"{variable}_FILE={named}", next_step=f"write the secret there, or set {variable}."
        ) from None
    return told


def own_server() -> bool:
    """Tell whether the store is the embedded server, and none that `MOTLAN_DATABASE_URL` or its file names."""
    return not (os.environ.get("MOTLAN_DATABASE_URL") or os.environ.get("MOTLAN_DATABASE_URL_FILE"))


def debugging() -> bool:
    """Tell whether libraries' own errors are shown, which quote values: for synthetic data only."""
    return os.environ.get("MOTLAN_DEBUG_SQL") == "1"


def patience() -> float:
    """Return how many seconds a step waits for another process that is at work on the same (`MOTLAN_WAIT`), 0 where unset."""
    return _seconds("MOTLAN_WAIT", "0")


def _seconds(variable: str, default: str) -> float:
    told = os.environ.get(variable) or default
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", told):
        raise ConfigurationError("not a number of seconds", where=variable, next_step="set it to 0 or more.")
    return float(told)


def declared_home() -> Path:
    """Return where the declared half should be: `MOTLAN_HOME`, or the checkout that the bus is in."""
    return Path(os.environ.get("MOTLAN_HOME", Path(__file__).resolve().parent.parent)).resolve()


def load() -> Settings:
    """Read the settings.

    Raises:
        ConfigurationError: A variable cannot be used.
    """
    home = declared_home()
    if not (home / "adapters" / "agencies.yaml").is_file():
        raise ConfigurationError(
            "this folder has no adapters/agencies.yaml",
            where=f"MOTLAN_HOME={home}",
            next_step="set MOTLAN_HOME to the folder with adapters/, schemas/ and mapping/.",
        )
    threads = os.environ.get("MOTLAN_THREADS", str(os.cpu_count() or 2))
    if not threads.isdigit() or int(threads) < 1:
        raise ConfigurationError("not a number of threads", where="MOTLAN_THREADS", next_step="set it to 1 or more.")
    engine = os.environ.get("MOTLAN_ENGINE", "duckdb")
    if engine not in ("duckdb", "spark"):
        raise ConfigurationError(
            f"there is no engine {engine}", where="MOTLAN_ENGINE", next_step="use duckdb or spark."
        )
    return Settings(
        home=home,
        var=Path(os.environ.get("MOTLAN_VAR", home / "var" / "demo")).resolve(),
        database_url=secret("MOTLAN_DATABASE_URL"),
        memory_limit=os.environ.get("MOTLAN_MEMORY_LIMIT", "4GB"),
        threads=int(threads),
        engine=engine,
        spark_master=os.environ.get("MOTLAN_SPARK_MASTER", "local[2]"),
        debug_sql=debugging(),
        feeds_database_url=secret("MOTLAN_FEEDS_DATABASE_URL"),
        backup=_place(os.environ.get("MOTLAN_BACKUP")),
        backup_keys=_place(os.environ.get("MOTLAN_BACKUP_KEYS")),
        backup_days=_days(os.environ.get("MOTLAN_BACKUP_KEEP", "14")),
        checkpoints=_place(os.environ.get("MOTLAN_CHECKPOINTS")),
        log_key_file=_place(os.environ.get("MOTLAN_LOG_KEY")),
        log_policy=_place(os.environ.get("MOTLAN_LOG_POLICY")),
        openlineage_seconds=_seconds("MOTLAN_OPENLINEAGE_SECONDS", "5"),
    )


def _place(told: str | None) -> Path | None:
    return Path(told).resolve() if told else None


def _days(told: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", told) or int(told) < 1:
        raise ConfigurationError(
            "not a number of days", where="MOTLAN_BACKUP_KEEP", next_step="set it to a whole number from 1 on."
        )
    return int(told)
