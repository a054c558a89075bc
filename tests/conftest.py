"""Fixtures shared by the tests: a PostgreSQL server of our own, and a small country to run the bus on."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from hypothesis import HealthCheck, settings

from motlan import people, principals
from motlan.config.functions import install_functions
from motlan.expressions.spark.start import java_version, start
from motlan.settings import load
from motlan.store import open_store, server
from motlan.workspace import Workspace, open_workspace

ROOT = Path(__file__).resolve().parent.parent
install_functions(ROOT)  # tests are collected by function
SMALL_SPARK = (
    "--driver-memory 2g --driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' "
    "--conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN pyspark-shell"
)
"""Spark for some thousand rows, which are not worth compiling for: neither queries to Java, nor Java to its best."""

# How busy the machine is says nothing about the code. What is drawn is the same each time, but where MOTLAN_RANDOM is set.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("patient", PATIENT, derandomize="MOTLAN_RANDOM" not in os.environ)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A whole bus takes seconds: `make check` runs just those that say that they are worth it. The longest file begins."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/spark/"))
    for item in items:
        if "country" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("quick"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _functions() -> None:
    """The project's own functions, whatever another test's declared half had."""
    install_functions(ROOT)


@contextmanager
def traversable_folder() -> Iterator[Path]:
    """A folder that other users may pass: pytest's own is not, and as root PostgreSQL runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="motlan-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def store_server() -> Iterator[Callable[[str], str]]:
    """A real PostgreSQL server; gives a new database's URL for a name."""
    with traversable_folder() as var, pytest.MonkeyPatch.context() as patch:
        patch.delenv("MOTLAN_DATABASE_URL", raising=False)
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(var))
        settings = load()
        server.start(settings)
        yield lambda name: server.start_with_database(settings, name)
        server.stop(settings)


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


class Country:
    """A declared half of two small registers, and the state of a bus that serves it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def write(self, dataset: str, records: list[dict[str, str | None]] | str) -> None:
        """Let a register hold these records; a text stands for a register that misbehaves."""
        text = records if isinstance(records, str) else json.dumps(records, ensure_ascii=False)
        (self.home / "registers" / f"{dataset}.json").write_text(text, encoding="utf-8")

    def declare(self, file: str, change: Callable[[Any], None]) -> None:
        """Change one of the declared YAML files."""
        path = self.home / file
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    def open(self) -> Workspace:
        return open_workspace()


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


def declare_country(home: Path) -> Country:
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
    made = Country(home)
    made.write("alpha_people", [spine_record(row) for row in SPINE])
    made.write("beta_cards", [card_record(row) for row in CARDS])
    return made


@pytest.fixture
def country(
    tmp_path: Path, store_server: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Country]:
    """A fresh bus for the small country, with its two registers filled."""
    made = declare_country(tmp_path)
    database = f"t{abs(hash(request.node.nodeid)):x}"[:40]
    monkeypatch.setenv("MOTLAN_HOME", str(tmp_path))
    monkeypatch.setenv("MOTLAN_VAR", str(tmp_path / "var"))
    url = store_server(database)
    monkeypatch.setenv("MOTLAN_DATABASE_URL", url)
    monkeypatch.setenv("MOTLAN_THREADS", "2")
    monkeypatch.setenv("COUNTRY_URL", f"file://{tmp_path / 'registers'}")
    yield made
    # Pools of a test that is over would hold the server's connections until the session ends.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and usename = current_user and pid != pg_backend_pid()"
        )
