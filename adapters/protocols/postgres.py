"""The line to one agency's PostgreSQL: read-only, timed, retried, and with its errors made fit to be logged."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from psycopg import conninfo, errors, sql

from adapters.protocols.auth import user_and_secret
from adapters.protocols.deadline import told_at
from adapters.protocols.guard import is_loopback
from adapters.protocols.pace import Throttle, with_retries
from adapters.protocols.watchdog import Watchdog
from motlan.adapter import Source
from motlan.errors import AccessError, ConfigurationError, ContractError, MotlanError, TransientError

_NO_JIT = "select set_config('jit', 'off', false) from pg_settings where name = 'jit'"
"""A server before version 18 takes a query that it must sort against `enable_sort` for so dear that it compiles each. One before
version 11 does not know the setting, and would refuse it among those of the connection."""

TEXT_SETTINGS = ("TimeZone=UTC", "DateStyle=ISO", "IntervalStyle=postgres", "bytea_output=hex", "extra_float_digits=3")
"""Settings of a session under which a value's text gives back the value, whatever the server's or the role's are. What belongs
to money stays as it is: another place of the decimal point would be another amount."""

_ASK_OWNER = "compare `columns` in adapters/agencies.yaml with the view, and ask its owner."
BATCH_BYTES = 16 * 2**20
_BATCH = "adbc.postgresql.batch_size_hint_bytes"
"""After how many bytes the driver hands over what it has of an answer."""
WIRE = 2
"""Bytes on the wire for each byte of a page at the most, lengths of fields and TLS included. What is more is no page."""
_CREDENTIAL = "check the agency's credential: `credential` in adapters/agencies.yaml names its variable."
_REFUSALS = ("authentication", "role", "pg_hba.conf", "permission denied")
"""What PostgreSQL says when it does not let us in; libpq gives no SQLSTATE for that."""
_NO_REFUSALS = ("too many connections", "expected authentication request", "invalid authentication request")
"""What is said with one of these words while the server is busy, or when it is no PostgreSQL."""


def connection_settings(source: Source) -> dict[str, Any]:
    """Make the settings of a connection, so that it is TLS with a checked certificate, or does not leave the machine.

    Raises:
        ConfigurationError: The endpoint is no PostgreSQL URL, carries a credential, or says more than where to go.
    """
    try:
        settings: dict[str, Any] = conninfo.conninfo_to_dict(source.endpoint)
    except psycopg.Error:
        raise _unusable("the endpoint is not a PostgreSQL URL", source) from None
    if more := settings.keys() - {"host", "port", "dbname"}:
        raise _unusable(f"the endpoint says more than host, port and database: {', '.join(sorted(more))}", source)
    hosts = str(settings.get("host", "")).split(",")
    if not all(hosts):
        raise _unusable("the endpoint names no host", source)
    if not all(host.startswith("/") or is_loopback(host) for host in hosts):
        settings |= {"sslmode": "verify-full", "sslrootcert": "system"}
    user, secret = user_and_secret(source)
    seconds = source.pace.read_timeout
    return settings | {
        "user": user,
        "password": secret,
        "connect_timeout": max(2, math.ceil(source.pace.connect_timeout)),
        "keepalives_idle": 30,
        "tcp_user_timeout": math.ceil(seconds * 1000),
        "application_name": "motlan",
        "options": f"-c default_transaction_read_only=on -c statement_timeout={math.ceil(seconds * 1000)}"
        f" -c client_encoding=UTF8 {' '.join(f'-c {setting}' for setting in TEXT_SETTINGS)}"
        # libpq writes what a server remarks to this process's standard error.
        " -c client_min_messages=error"
        # A page in the order of an index is read by that index. A planner that has no statistics would rather read
        # and sort what is left of the view for every page.
        " -c enable_sort=off",
    }


def _unusable(what: str, source: Source) -> ConfigurationError:
    step = "mend `endpoint` in adapters/agencies.yaml or its variable."
    return ConfigurationError(what, where=source.dataset, next_step=step)


class TooWideError(ContractError):
    """An answer has more bytes than we hold at once. `rows` of it, or fewer, are as many as fit."""

    def __init__(self, rows: int, limit: int, where: str) -> None:
        super().__init__(
            f"more than {limit} bytes in a page of one row",
            where=where,
            next_step="ask the source's owner, or raise page_bytes and payload_bytes in adapters/agencies.yaml.",
        )
        self.rows = rows


class PostgresLine(AbstractContextManager["PostgresLine"]):
    """Asks over ADBC, and connects again where the line broke. Every question is a read-only transaction of its own.

    ADBC reads by COPY in binary, straight to Arrow columns: no Python object a value.
    """

    def __init__(self, source: Source) -> None:
        self._settings = connection_settings(source)
        self._source = source
        self._throttle = Throttle(source.pace.requests_per_second)
        self._watchdog = Watchdog()
        self._connection: Any = None

    def ask(self, query: sql.Composable) -> Any:
        """Run a query whose columns are text; give the `pyarrow.Table`.

        Raises:
            AccessError: We may not connect, or not read that.
            ContractError: The view or a column is not there, or not of the kind that it was; the answer has more bytes than
                `Limits.payload_bytes`, or is no text.
            TransientError: The line or the server failed, or the time was up, after the last retry.
        """
        try:
            text = query.as_string()
        except (psycopg.Error, UnicodeEncodeError):  # NUL, half a surrogate pair; the errors quote the text
            raise ContractError(
                "a cursor or key is no text that a database knows", where=self._source.dataset
            ) from None

        def attempt() -> Any:
            self._throttle.wait()
            try:
                with told_at(self._source.dataset):
                    return self._fetch(text)
            except dbapi.Error as error:
                self._drop()
                raise _sorted(error, self._source.dataset) from None
            except MotlanError:
                self._drop()
                raise

        return with_retries(self._source.pace, attempt)

    def _fetch(self, query: str) -> Any:
        if self._connection is None:
            with self._watchdog.connecting():
                self._connection = dbapi.connect(conninfo.make_conninfo(**self._settings), autocommit=True)
                with self._connection.cursor() as cursor:
                    cursor.execute(_NO_JIT)
        limits, where = self._source.limits, self._source.dataset
        limit = min(limits.payload_bytes, limits.page_bytes)
        with self._watchdog.asking(WIRE * limit + 2**20), self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{_BATCH: str(min(limit, BATCH_BYTES))})
            cursor.execute(query)
            reader = cursor._results.reader  # fetch_record_batch() gives one whose errors have no SQLSTATE
            batches, size = [], 0
            for batch in reader:
                batches.append(batch)
                size += batch.nbytes
                if size > limit:
                    raise TooWideError(sum(each.num_rows for each in batches), limit, where)
            table = pa.Table.from_batches(batches, reader.schema)
        refuse_no_text(table, where)
        return table

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()


def refuse_no_text(table: Any, where: str) -> None:
    """Refuse columns that are no UTF-8: the driver believes the server, which should have checked.

    Raises:
        ContractError: One is not.
    """
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:  # its text quotes the bytes
        raise ContractError("the database sends what is no text", where=where) from None


def _sorted(error: dbapi.Error, where: str) -> MotlanError:
    """Choose our error for the driver's. Its text is looked at and never repeated: it quotes values."""
    what = f"the database refuses ({error.sqlstate or type(error).__name__})"
    kind = _kind(error.sqlstate)
    if issubclass(kind, errors.InsufficientPrivilege | errors.InvalidAuthorizationSpecification):
        return AccessError(what, where=where, next_step=_CREDENTIAL)
    if issubclass(kind, errors.OperationalError):
        if error.sqlstate is None and _refuses(str(error)):
            return AccessError("the database does not let us in", where=where, next_step=_CREDENTIAL)
        return TransientError(what, where=where, next_step="check the endpoint, try again later.")
    return ContractError(what, where=where, next_step=_ASK_OWNER)


def _refuses(text: str) -> bool:
    return any(word in text for word in _REFUSALS) and not any(word in text for word in _NO_REFUSALS)


def _kind(sqlstate: str | None) -> type[psycopg.Error]:
    """Find psycopg's class of an SQLSTATE; an error without one is an error of the line."""
    if not sqlstate:
        return errors.OperationalError
    try:
        return errors.lookup(sqlstate)
    except KeyError:
        return errors.DatabaseError
