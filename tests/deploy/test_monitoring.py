"""The dashboard and the alerts: every metric and label in them exists, and every alert leads to its page of the runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from motlan.monitoring import metrics
from motlan.monitoring.readiness import CHECKS
from tests.deploy.compose import ROOT
from tests.test_docs import anchors

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/motlan.json").read_text(encoding="utf-8"))
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def check(expression: str, legend: str) -> None:
    """Hold an expression and what is shown of its labels against the metrics that there are."""
    used = set(re.findall(r"motlan_\w+", expression))
    known = metrics.names()
    assert used, expression
    assert used <= set(known), used - set(known)
    labels = {label for name in used for label in known[name]}
    asked = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", legend))
    asked |= set(re.findall(r"(\w+)=~?\"", expression))
    for group in re.findall(r"(?:by|on) ?\(([^)]*)\)", expression):
        asked |= {name.strip() for name in group.split(",") if name.strip()}
    assert asked <= labels, asked - labels
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_metrics_that_there_are(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        check(target["expr"], target["legendFormat"])
    assert re.search(r" · ", panel["title"]), "in both languages"


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {
        name for panel in PANELS for target in panel["targets"] for name in re.findall(r"motlan_\w+", target["expr"])
    }
    assert shown == set(metrics.names())


def test_panels_lie_beside_one_another() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in own) < 24
        assert not places & own, panel["title"]
        places |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_made_of_metrics_that_there_are_and_leads_to_the_runbook(rule: dict[str, Any]) -> None:
    check(rule["expr"], rule["annotations"]["summary"])
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    for language in (page, page.replace(".md", ".vi.md")):
        assert anchor in anchors(ROOT / Path(language)), language
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(re.findall(r'check=~?"([^"]+)"', rule["expr"])) <= {*CHECKS, "migrations|projection"}


def test_alerts_have_names_of_their_own() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)


def test_both_runbooks_have_the_same_sections_and_the_alerts_of_airflow_lead_to_them() -> None:
    from motlan.ledger.alerts import RUNBOOK

    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("operations.md", "operations.vi.md")]
    english, vietnamese = (re.findall(r"^### (.+)$", page.split("## ", 2)[2], re.MULTILINE) for page in pages)
    sections = [name for name in english if name != "Probes and metrics"]
    assert sorted(sections) == sorted(vietnamese)
    known = anchors(ROOT / "docs" / "operations.md")
    assert {*RUNBOOK.values(), "run-failed", "store-down"} <= known
    wanted = "agency-down bad-release disk-full expired-certificate lost-key wrong-publish restore-backup full-resync"
    assert {*wanted.split(), "upgrade-airflow", "store-down", "run-failed", "stale-data", "log-broken"} <= known


def test_the_runbooks_give_the_same_commands_in_the_same_order() -> None:
    def commands(name: str) -> list[list[str]]:
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        found = []
        for section in sorted(re.split(r"^### ", page, flags=re.MULTILINE)[1:]):
            lines = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
            found.append([re.sub(r"'[^']*'", "''", re.split(r" +#", line)[0]) for line in lines])
        return [lines for lines in found if lines]

    assert commands("operations.md") == commands("operations.vi.md")
