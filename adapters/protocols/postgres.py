"""The line to one agency's PostgreSQL: read-only, timed, retried, and with its errors made fit to be logged."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo, errors

from adapters.protocols.auth import user_and_secret
from adapters.protocols.guard import is_loopback
from adapters.protocols.pace import Throttle, with_retries
from motlan.errors import AccessError, ConfigurationError, ContractError, MotlanError, TransientError
from motlan.landing.contract import Source

_T = TypeVar("_T")

Connection = psycopg.Connection[tuple[Any, ...]]

_ASK_OWNER = "compare `columns` in adapters/agencies.yaml with the view, and ask its owner."
_CREDENTIAL = "check the agency's credential (MOTLAN_CREDENTIAL_...)."
_REFUSALS = ("authentication", "role", "pg_hba.conf", "permission denied")
"""What PostgreSQL says when it does not let us in; libpq gives no SQLSTATE for that."""


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
        " -c TimeZone=UTC -c DateStyle=ISO -c client_encoding=UTF8",
    }


def _unusable(what: str, source: Source) -> ConfigurationError:
    step = "mend `endpoint` in adapters/agencies.yaml or its variable."
    return ConfigurationError(what, where=source.dataset, next_step=step)


class PostgresLine(AbstractContextManager["PostgresLine"]):
    """Asks, and connects again where the line broke. Every question is a read-only transaction of its own."""

    def __init__(self, source: Source) -> None:
        self._settings = connection_settings(source)
        self._source = source
        self._throttle = Throttle(source.pace.requests_per_second)
        self._connection: Connection | None = None

    def ask(self, question: Callable[[Connection], _T]) -> _T:
        """Let the question run on a connection.

        Raises:
            AccessError: We may not connect, or not read that.
            ContractError: The view or a column is not there, or not of the kind that it was.
            TransientError: The line or the server failed, or the time was up, after the last retry.
        """

        def attempt() -> _T:
            self._throttle.wait()
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(**self._settings, autocommit=True)
                return question(self._connection)
            except psycopg.Error as error:
                self._drop()
                raise _sorted(error, self._source.dataset) from None
            except UnicodeError:  # a SQL_ASCII database sends any bytes, and Python's error would quote them
                self._drop()
                raise ContractError("the database sends what is no text", where=self._source.dataset) from None

        return with_retries(self._source.pace, attempt)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()


def _sorted(error: psycopg.Error, where: str) -> MotlanError:
    """Choose our error for psycopg's. Its text is looked at and never repeated: it quotes values."""
    what = f"the database refuses ({error.sqlstate or type(error).__name__})"
    if isinstance(error, errors.InsufficientPrivilege | errors.InvalidAuthorizationSpecification):
        return AccessError(what, where=where, next_step=_CREDENTIAL)
    if isinstance(error, errors.OperationalError):
        if error.sqlstate is None and any(word in str(error) for word in _REFUSALS):
            return AccessError("the database does not let us in", where=where, next_step=_CREDENTIAL)
        return TransientError(what, where=where, next_step="check the endpoint, try again later.")
    return ContractError(what, where=where, next_step=_ASK_OWNER)
