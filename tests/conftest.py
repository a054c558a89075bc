"""Fixtures shared by the tests: a PostgreSQL server of our own, and a small country to run the bus on."""

import copy
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psycopg
import pytest
import sqlalchemy as sa
import yaml
from hypothesis import HealthCheck, settings
from psycopg import sql

from motlan import people, principals
from motlan.config.functions import install_functions
from motlan.expressions.spark.start import java_version, start
from motlan.settings import Settings, load
from motlan.store import open_store, server
from motlan.workspace import Workspace, open_workspace

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
install_functions(ROOT)  # tests are collected by function

# Some machines forbid to keep compiled modules. Tests start many processes, and each would compile everything anew: up to 4 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SMALL_SPARK = (
    "--driver-memory 2g --driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms2g -Xmn700m -XX:MetaspaceSize=300m "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote' "
    "--conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN "
    "--conf spark.buffer.pageSize=1m pyspark-shell"
)
"""Spark for some thousand rows, which are not worth compiling for: neither queries to Java, nor Java to its best.

It begins with the memory that it will take, sorts and aggregates in pages of a megabyte and not of 64, and does not verify its
twenty thousand classes.
"""

# How busy the machine is says nothing about the code. What is drawn is the same each time, but where MOTLAN_RANDOM is set.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("patient", PATIENT, derandomize="MOTLAN_RANDOM" not in os.environ)
settings.load_profile("patient")


LONG = (
    "tests/scheduler/test_seven_days",
    "tests/spark",
    "tests/expressions/test_parity",
    "tests/demo/test_main_job",
    "tests/dags",
    "tests/bench",
    "tests/soak",
    "tests/scheduler",
)
"""What takes longest begins first: else one of two workers ends minutes after the other."""
SPARK = ("tests/spark/test_spark_parity.py", "tests/expressions/test_parity.py")
"""Files whose tests need Spark: one worker runs them all, so that it is started once."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A whole bus takes seconds: `make check` runs just those that say that they are worth it. The longest files begin."""
    items.sort(key=lambda item: next((place for place, start in enumerate(LONG) if item.nodeid.startswith(start)), 99))
    for item in items:
        if "country" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("quick"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _functions() -> None:
    """The project's own functions, whatever another test's declared half had."""
    install_functions(ROOT)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file's tests to one worker, and all that need Spark to the same one."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "spark" if file in SPARK else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@contextmanager
def traversable_folder() -> Iterator[Path]:
    """A folder that other users may pass: pytest's own is not, and as root PostgreSQL runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="motlan-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


CARELESS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "64MB",
}
"""Settings of a server whose data nobody needs after a crash."""


class Databases:
    """Databases on one PostgreSQL server, of the bus's owner; each is made as a copy of another one.

    Args:
        owner_url: URL of the owner's first database.
        admin_url: URL of the server's administrator.
    """

    def __init__(self, owner_url: str, admin_url: str) -> None:
        self._owner_url, self._admin_url = owner_url, admin_url
        self._numbers = itertools.count()
        self._migrated: str | None = None

    def make(self, template: str | None = None) -> str:
        """Make a database as a copy of another one that nobody is connected to; return its URL.

        Args:
            template: Name of the other one; by default one with the store's own tables, empty.
        """
        name = f"t{next(self._numbers)}"
        self._do("create database {} template {} owner {}", name, template or self._empty(), server.OWNER)
        return self._owner_url.replace(f"/{server.OWNER}?", f"/{name}?")

    def keep(self, url: str) -> str:
        """Make a database a template, under another name, which is returned; its connections are ended."""
        name = self._end_connections(url)
        self._do("alter database {} rename to {}", name, f"{name}_kept")
        return f"{name}_kept"

    def drop(self, url: str) -> None:
        """Remove a database, ending its connections: pools of a test that is over would hold them."""
        self._do("drop database if exists {} with (force)", name_of(url))

    def _empty(self) -> str:
        if self._migrated is None:
            url = self.make("template1")
            with pytest.MonkeyPatch.context() as patch, traversable_folder() as var:
                patch.setenv("MOTLAN_DATABASE_URL", url)
                patch.setenv("MOTLAN_HOME", str(ROOT))
                patch.setenv("MOTLAN_VAR", str(var))
                open_workspace()
            self._migrated = self.keep(url)
        return self._migrated

    def _end_connections(self, url: str) -> str:
        name = name_of(url)
        with psycopg.connect(self._admin_url, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = %s", [name])
        return name

    def _do(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def name_of(url: str) -> str:
    """Return the name of a URL's database."""
    return url.partition("@/")[2].partition("?")[0]


@pytest.fixture(scope="session")
def server_settings() -> Iterator[Settings]:
    """The installation of a real PostgreSQL server, which runs."""
    with traversable_folder() as var, pytest.MonkeyPatch.context() as patch:
        patch.delenv("MOTLAN_DATABASE_URL", raising=False)
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(var))
        settings = load()
        server.start(settings)
        with psycopg.connect(server.admin_url(settings), autocommit=True) as admin:
            for name, value in CARELESS.items():
                admin.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            admin.execute("select pg_reload_conf()")
        yield settings
        server.stop(settings)


@pytest.fixture(scope="session")
def store_server(server_settings: Settings) -> Callable[[str], str]:
    """A real PostgreSQL server; gives a new database's URL for a name."""
    return lambda name: server.start_with_database(server_settings, name)


@pytest.fixture(scope="session")
def databases(server_settings: Settings) -> Databases:
    """Databases with the store's own tables on that server."""
    return Databases(server.start(server_settings), server.admin_url(server_settings))


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """The process's Spark, started once for all tests that need it; they are skipped where it cannot be had."""
    for package in ("pyspark", "sqlglot"):
        pytest.importorskip(package, reason=f"needs {package}: uv pip install -e '.[spark]'")
    if java_version() < 17:
        pytest.skip("needs Java 17 on the path: apt-get install openjdk-17-jre-headless")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", SMALL_SPARK)
        session = start("local[2]")
    yield session
    session.stop()


@dataclass(frozen=True)
class Kept:
    """What a bus left: the template of its database, a copy of its folder, and what its commands returned."""

    template: str
    folder: Path
    returned: Any


class Country:
    """A declared half of two small registers, and the state of a bus that serves it.

    Args:
        home: Its folder.
        databases: Where its database is; None where it is none of ours.
    """

    _kept: ClassVar[dict[str, Kept]] = {}

    def __init__(self, home: Path, databases: Databases | None = None) -> None:
        self.home = home
        self.url = databases.make() if databases else ""
        self._databases = databases

    def after(self, do: Callable[[], T]) -> T:
        """Bring a bus that nothing was done with to where a function leaves it; return what it returns.

        It is done once in a session for countries that are declared alike and hold the same; what it left is copied.
        Not for a function that does something else for what a test patched.
        """
        assert self._databases, "only of the fixture `country`"
        assert not (self.home / "var").exists(), "something was done before"
        key = f"{do.__module__}.{do.__qualname__} {self._digest()}"
        if key not in self._kept:
            returned = do()
            folder = self.home.with_name(f"kept-{name_of(self.url)}")
            shutil.copytree(self.home / "var", folder)
            self._kept[key] = Kept(self._databases.keep(self.url), folder, returned)
        else:
            self._databases.drop(self.url)
            shutil.copytree(self._kept[key].folder, self.home / "var")
        # Under a name of its own: no pool of this process has a connection to it.
        self.url = os.environ["MOTLAN_DATABASE_URL"] = self._databases.make(self._kept[key].template)
        return copy.deepcopy(self._kept[key].returned)

    def _digest(self) -> str:
        """Return a digest of what is declared and what the registers hold."""
        digest = hashlib.sha256()
        for path in sorted(self.home.rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(self.home)} {path.stat().st_size}\n".encode() + path.read_bytes())
        return digest.hexdigest()

    def write(self, dataset: str, records: list[dict[str, str | None]] | str) -> None:
        """Let a register hold these records; a text stands for a register that misbehaves."""
        text = records if isinstance(records, str) else json.dumps(records, ensure_ascii=False)
        (self.home / "registers" / f"{dataset}.json").write_text(text, encoding="utf-8")

    def declare(self, file: str, change: Callable[[Any], None]) -> None:
        """Change one of the declared YAML files."""
        path = self.home / file
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")

    def open(self) -> Workspace:
        return open_workspace()


def behind_the_bus(connection: sa.Connection, statement: str) -> None:
    """Do what only the tables' owner can, who says so: change the ledger."""
    connection.exec_driver_sql("select set_config('motlan.maintenance', 'on', true)")
    connection.exec_driver_sql(statement)


SPINE = [
    ("a1", "001090000001", "Nguyễn Văn An", "1990-02-03", "male", None),
    ("a2", "001190000002", "Trần Thị Bình", "1990-05-06", "female", None),
    ("a3", "001080000003", "Lê Văn Cường", "1980-07-08", "male", "2026-09-01"),
    ("a4", "001070000004", "Phạm Văn Dũng", "1970", "male", None),
    ("a5", "001190000005", "Hoàng Thị Hòa", "1990-11-12", "female", None),
]
CARDS = [
    ("b1", "001090000001", "NGUYEN VAN AN", "03/02/1990", "male", "GD4010000000001"),
    ("b2", None, "Trần Thị Bình", "06/05/1990", "female", "GD4010000000002"),
    ("b3", "001080000003", "Lê Văn Cường", "08/07/1980", "male", "GD4010000000003"),
    ("b4", "001070000004", "Phạm Văn Dũng", "01/02/1970", "male", "GD4010000000004"),
    ("b5", "001090000001", "Võ Thị Mai", "01/01/2001", "female", "GD4010000000005"),
    ("b6", "001190000005", None, "12/11/1990", "female", "GD4010000000006"),
]


def spine_record(row: tuple[str | None, ...], updated: str = "2026-09-01T00:00:00.000000Z") -> dict[str, str | None]:
    return dict(zip(("id", "number", "name", "born", "sex", "died"), row, strict=True)) | {"updated": updated}


def card_record(row: tuple[str | None, ...], updated: str = "2026-09-01T00:00:00.000000Z") -> dict[str, str | None]:
    return dict(zip(("id", "number", "name", "born", "sex", "card"), row, strict=True)) | {"updated": updated}


def signed_in(name: str, role: str = people.STEWARD) -> dict[str, str]:
    """Sign a person in, who is added where they are new; return the environment of their terminal."""
    session = load().var / "terminals" / name
    if not session.exists():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(principals.SESSION, str(session))
            store, settings = open_store(load()), load()
            secret = people.add(store, settings, name, role)
            people.sign_in(store, settings, name, secret, lambda: f"{name} and no other")
    return {principals.SESSION: str(session)}


def declare_country(home: Path, databases: Databases | None = None) -> Country:
    """Make the declared half of the small country in a folder, with its two registers filled."""
    for folder in ("adapters", "mapping", "registers"):
        (home / folder).mkdir(parents=True)
    here = ROOT / "tests" / "country"
    shutil.copy(here / "agencies.yaml", home / "adapters" / "agencies.yaml")
    for name, content in yaml.safe_load((here / "mapping.yaml").read_text(encoding="utf-8")).items():
        fields = content
        if name == "authority":
            from schemas import ENTITIES

            fields = {
                "person": {field: {"authority": []} for field in ENTITIES["person"].model_fields} | content["person"]
            }
        (home / "mapping" / f"{name}.yaml").write_text(yaml.safe_dump(fields, allow_unicode=True), encoding="utf-8")
    matching = yaml.safe_load((ROOT / "mapping" / "matching.yaml").read_text(encoding="utf-8"))
    matching["person"] |= {"spine": ["alpha_people"], "identifiers": ["personal_id"]}
    (home / "mapping" / "matching.yaml").write_text(yaml.safe_dump(matching, allow_unicode=True), encoding="utf-8")
    for name in ("codes", "functions"):
        (home / "mapping" / name).symlink_to(ROOT / "mapping" / name)
    made = Country(home, databases)
    made.write("alpha_people", [spine_record(row) for row in SPINE])
    made.write("beta_cards", [card_record(row) for row in CARDS])
    return made


@pytest.fixture(scope="session")
def country_folder() -> Iterator[Path]:
    """The folder of the small country, the same for every test: the lake's metadata name their files by whole paths.

    Not one of pytest's own: another session closes those to the account of a server that runs in there.
    """
    with traversable_folder() as folder:
        yield folder / "home"


@pytest.fixture
def country_files(tmp_path: Path) -> Country:
    """The declared half of the small country alone: no bus serves it."""
    return declare_country(tmp_path / "home")


@pytest.fixture
def country(country_folder: Path, databases: Databases) -> Iterator[Country]:
    """A fresh bus for the small country, with its two registers filled."""
    made = declare_country(country_folder, databases)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTLAN_HOME", str(country_folder))
        patch.setenv("MOTLAN_VAR", str(country_folder / "var"))
        patch.setenv("MOTLAN_DATABASE_URL", made.url)
        patch.setenv("MOTLAN_THREADS", os.environ.get("MOTLAN_THREADS", "1"))
        patch.setenv("COUNTRY_URL", f"file://{country_folder / 'registers'}")
        yield made
    try:
        databases.drop(made.url)
    finally:  # or every test behind one that lost its server would fail too
        shutil.rmtree(country_folder)
