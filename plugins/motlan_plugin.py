"""What Airflow loads from Motlan: menu entries that lead to the bus's own pages, and the run listener.

Links only. A plugin's web application is mounted without authentication, so the feeds and the console are an
application of their own, with their own sign-in.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin
from motlan_airflow import listener
from motlan_airflow.links import console

_PAGES = (("Motlan: bảng điều khiển", "/console"), ("Motlan: API (feeds)", "/docs"))


def menu() -> list[dict[str, Any]]:
    """Return the menu entries, which lead to the pages at `MOTLAN_CONSOLE_URL`; none where it is unset."""
    if not console():
        return []
    entries = [{"name": name, "href": console(path), "destination": "nav"} for name, path in _PAGES]
    return [*entries, {"name": "Motlan", "href": console("/console/dags/{DAG_ID}"), "destination": "dag"}]


class MotlanPlugin(AirflowPlugin):
    """Menu entries, links and listener; no pages of its own."""

    name = "motlan"
    external_views = menu()
    listeners = [listener]  # noqa: RUF012 - Airflow's declared form
