"""Agencies' credentials from Airflow: the connection `motlan_<agency>`, wherever Airflow's secrets backends keep it.

The environment comes first (`MOTLAN_CREDENTIAL_<NAME>`, or a file of it). A connection is read when a source is opened, by the
process that opens it: nothing of it is put into the environment, which children inherit and crash reports show. Every secret
that a task can know is masked in its log.
"""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from motlan.config import registry
from motlan.errors import ConfigurationError, MotlanError
from motlan.settings import secret

PREFIX = "MOTLAN_CREDENTIAL_"
_URLS = ("MOTLAN_DATABASE_URL", "MOTLAN_FEEDS_DATABASE_URL")


def offer_connections() -> None:
    """Have the bus find agencies' credentials in Airflow's connections, and mask those of the environment in this task's log.

    Called before a step; a second call changes nothing.
    """
    registry.offer_credentials(from_connection)
    for word in known_secrets():
        mask_secret(word)


def from_connection(agency: str) -> tuple[str, str] | None:
    """Return login and password of the connection `motlan_<agency>`; None where there is no such connection.

    Raises:
        ConfigurationError: It has no login or no password, or Airflow cannot read it. No value is told.
    """
    name = f"motlan_{agency}"
    try:
        found = Connection.get(name)
        user, word = found.login, found.password
    except AirflowNotFoundException:
        return None
    except Exception as error:  # noqa: BLE001 - the text of a secrets backend's error may quote what it read
        raise ConfigurationError(
            f"Airflow cannot read this connection ({type(error).__name__})",
            where=f"connection {name}",
            next_step="check Airflow's secrets backend.",
        ) from None
    if not user or not word:
        raise ConfigurationError(
            "this connection has no login or no password",
            where=f"connection {name}",
            next_step="set both: Airflow, Admin, Connections.",
        )
    mask_secret(word)
    return str(user), str(word)


def known_secrets() -> list[str]:
    """Return the secrets that the environment or its files hold: of agencies, and the passwords in databases' addresses."""
    names = {name.removesuffix("_FILE") for name in os.environ if name.startswith(PREFIX)}
    credentials = (_read(name).partition(":")[2] for name in sorted(names))
    passwords = (unquote(urlsplit(_read(name)).password or "") for name in _URLS)
    return [word for word in (*credentials, *passwords) if word]


def _read(variable: str) -> str:
    try:
        return secret(variable) or ""
    except MotlanError:  # told by the step that needs it
        return ""
