"""Who is told when a DAG run has failed: one message a cause, by mail and by a webhook. No personal value is in one.

`MOTLAN_ALERT_EMAIL` names who gets mail, through Airflow's connection `smtp_default`; `MOTLAN_ALERT_WEBHOOK` an address that
takes a JSON document (https, or loopback). Where neither is set, the message goes to the log alone.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from airflow.sdk import BaseNotifier

from motlan.errors import MotlanError
from motlan_airflow.links import console

log = logging.getLogger(__name__)
_TIMEOUT_S = 20.0


class FailureAlert(BaseNotifier):
    """Tells people that a DAG run has failed, once for a cause."""

    def notify(self, context: Any) -> None:
        """Tell them, in every way that is set."""
        from motlan_airflow.steps import call_pipeline  # which sends messages itself

        kind, _, subject = context["dag_run"].dag_id.partition("_")
        try:
            alert = call_pipeline("raise_alert", kind, subject)["alert"]
        except MotlanError as error:  # the ledger is away: that is worth a message itself
            alert = {"cause": str(error), "kind": kind, "subject": subject, "run": None, "error": str(error)}
            alert |= {"times": 1, "runbook": "store-down"}
        if alert is None:
            log.info("People know of this cause: nobody is told again.")
            return
        told = words(alert)
        log.error("%s", told)
        deliver(f"{alert['kind']} {alert['subject']} failed", told, alert, context)


def deliver(subject: str, told: str, document: dict[str, Any], context: Any = None) -> None:
    """Send a message in every way that is set. A way that fails does not stop the others.

    Args:
        subject: Of a mail.
        told: What people read.
        document: What a webhook gets beside it. No personal value.
        context: The task's, where there is one.
    """
    for way in (_mail, _post):
        try:
            way(subject, told, document, context)
        except Exception as error:  # noqa: BLE001 - any library's; its text may quote an address
            log.warning("A message could not be sent: %s", type(error).__name__)


def words(alert: dict[str, Any]) -> str:
    """Return what people read."""
    times = f" ({alert['times']} times)" if alert["times"] > 1 else ""
    page = console(f"/console/runs/{alert['run']}") if alert["run"] else ""
    return (
        f"{alert['kind']} {alert['subject']} failed{times}: {alert['error']} "
        f"What to do: docs/operations.md#{alert['runbook']} {page}".strip()
    )


def _mail(subject: str, told: str, document: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - as the other way
    if to := os.environ.get("MOTLAN_ALERT_EMAIL"):
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        notifier = SmtpNotifier(to=to, subject=f"Motlan: {subject}", html_content=told, mime_subtype="plain")
        notifier.notify(context or {})


def _post(subject: str, told: str, document: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - as the other way
    if address := os.environ.get("MOTLAN_ALERT_WEBHOOK"):
        import httpx

        if not address.startswith(("https://", "http://127.0.0.1:", "http://localhost:", "http://[::1]:")):
            log.error("MOTLAN_ALERT_WEBHOOK is no https address, and not on this machine: nothing is sent to it.")
            return
        httpx.post(address, json={**document, "text": told}, timeout=_TIMEOUT_S).raise_for_status()


def failure_alert() -> list[FailureAlert]:
    """Return what every DAG of the bus does when a run of it has failed."""
    return [FailureAlert()]
