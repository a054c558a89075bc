"""What the libraries under us say when a value is wrong: each of these makes one raise its own error about a value."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import httpx
import psycopg
import pyarrow as pa
import sqlalchemy as sa
import yaml
from lxml import etree
from pydantic import TypeAdapter
from zeep import xsd
from zeep.wsdl.bindings.soap import Soap11Binding

from motlan.store.session import Store
from schemas.common import PersonalId

Failing = Callable[[Store, Path, str], Any]
_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Ten" type="xs:int"/></xs:schema>"""


def duckdb_cast(store: Store, folder: Path, value: str) -> None:
    duckdb.connect().execute("select ?::integer", [f"{value}!"]).fetchall()


def duckdb_constraint(store: Store, folder: Path, value: str) -> None:
    con = duckdb.connect()
    con.execute("create table people (name varchar primary key)")
    con.execute("insert into people values ($v), ($v)", {"v": value})


def duckdb_copy(store: Store, folder: Path, value: str) -> None:
    (folder / "wrong.csv").write_text(f"{value}!\n", encoding="utf-8")
    con = duckdb.connect()
    con.execute("create table people (number integer)")
    con.execute(f"copy people from '{folder / 'wrong.csv'}' (header false)")


def psycopg_copy(store: Store, folder: Path, value: str) -> None:
    with psycopg.connect(store.url) as connection, connection.cursor() as cursor:
        cursor.execute("create temp table people (number integer)")
        with cursor.copy("copy people from stdin (format csv)") as copy:
            copy.write(f'"{value}!"\n'.encode())


def psycopg_duplicate(store: Store, folder: Path, value: str) -> None:
    with psycopg.connect(store.url) as connection:
        connection.execute("create temp table people (name text primary key)")
        connection.execute("insert into people values (%(v)s), (%(v)s)", {"v": value})


def adbc_cast(store: Store, folder: Path, value: str) -> None:
    with adbc.connect(store.url) as connection, connection.cursor() as cursor:
        cursor.execute(f"select '{value}!'::integer")


def adbc_copy(store: Store, folder: Path, value: str) -> None:
    with adbc.connect(store.url) as connection, connection.cursor() as cursor:
        cursor.execute("create temp table people (name text check (name = ''))")
        cursor.adbc_ingest("people", pa.table({"name": [value]}), mode="append", temporary=True)


def sqlalchemy_integrity(store: Store, folder: Path, value: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("create temp table people (name text primary key) on commit drop"))
        connection.execute(sa.text("insert into people values (:v)"), [{"v": value}, {"v": value}])


def sqlalchemy_data(store: Store, folder: Path, value: str) -> None:
    with store.engine.connect() as connection:
        connection.execute(sa.text("select cast(:v as integer)"), {"v": f"{value}!"})


def sqlalchemy_statement(store: Store, folder: Path, value: str) -> None:
    # Hides its parameters, but carries what its type raised.
    column = sa.column("number", sa.DateTime())
    with sa.create_engine("sqlite://", hide_parameters=True).connect() as connection:
        connection.execute(sa.select(sa.literal(1)).where(column == sa.bindparam("v", f"{value}!")), {"v": value})


def pydantic_validation(store: Store, folder: Path, value: str) -> None:
    TypeAdapter(PersonalId).validate_python(f"{value}!")


def lxml_syntax(store: Store, folder: Path, value: str) -> None:
    etree.fromstring(f"<Ten><{value.replace(' ', '_')}></Ten>".encode())


def lxml_schema(store: Store, folder: Path, value: str) -> None:
    etree.XMLSchema(etree.fromstring(_XSD)).assertValid(etree.fromstring(f"<Ten>{value}!</Ten>"))


def zeep_value(store: Store, folder: Path, value: str) -> None:
    xsd.Integer().pythonvalue(f"{value}!")


def zeep_fault(store: Store, folder: Path, value: str) -> None:
    said = f"<e:Fault><faultcode>e:Client</faultcode><faultstring>no citizen {value}</faultstring></e:Fault>"
    answer = f'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{said}</e:Body></e:Envelope>'
    Soap11Binding.process_error(Soap11Binding, etree.fromstring(answer), None)


def json_decode(store: Store, folder: Path, value: str) -> None:
    json.loads(f'{{"name": "{value}"')


def unicode_decode(store: Store, folder: Path, value: str) -> None:
    (value.encode() + b"\xff").decode()


def unicode_encode(store: Store, folder: Path, value: str) -> None:
    f"{value}\udcff".encode()


def http_status(store: Store, folder: Path, value: str) -> None:
    request = httpx.Request("GET", "http://127.0.0.1/people", params={"name": value})
    httpx.Response(404, request=request, text=value).raise_for_status()


def arrow_cast(store: Store, folder: Path, value: str) -> None:
    pa.array([f"{value}!"]).cast(pa.int64())


def yaml_scan(store: Store, folder: Path, value: str) -> None:
    yaml.safe_load(f"name: {value}: {value}")


def python_number(store: Store, folder: Path, value: str) -> None:
    int(f"{value}!")


def python_key(store: Store, folder: Path, value: str) -> None:
    {}[value]


def python_file(store: Store, folder: Path, value: str) -> None:
    (folder / value).read_text()


def python_chain(store: Store, folder: Path, value: str) -> None:
    try:
        int(f"{value}!")
    except ValueError:
        raise RuntimeError("a plain word before a telling cause")  # noqa: B904 - this is the fault


FAULTS: dict[str, Failing] = {
    name: fault
    for name, fault in list(globals().items())
    if callable(fault) and getattr(fault, "__module__", "") == __name__
}
