"""`motlan model`: the model of linking: fitted, compared, released by people; and the errors that it expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from motlan.cli.output import (
    AsJson,
    OfEntity,
    Table,
    err,
    examples,
    local_time,
    me,
    opened,
    out,
    read_reason,
    releaser,
    report_done,
    report_errors,
    working,
)
from motlan.linking import stored_models as models
from motlan.linking.model import Model
from motlan.linking.model_charts import weights_svg
from motlan.stewardship import error_rates as expectations
from motlan.stewardship import model_proposals
from motlan.workspace import open_workspace

app = typer.Typer(
    help="The model of linking: how much each agreement and each difference weighs.",
    epilog=examples("motlan model show", "motlan model fit", "motlan model release MODEL"),
    no_args_is_help=True,
)
ModelId = Annotated[str, typer.Argument(help="Its id, or the first 8 digits or more.")]
LONGEST_BAR = 24


@app.command("list", epilog=examples("motlan model list", "motlan model list --json"))
def list_(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """List the models: proposed, released, superseded, refused."""
    with report_errors(as_json):
        work, of = opened(entity)
        found = models.listed(work.store, of)
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("model", "state", "learned from", "drift (bits)", "fitted by", "when (local)", "decided by", "why")
    for row in found:
        drift = "" if row["drift"] is None else f"{row['drift']:.2f}"
        cells = (
            row["created_by"] or "the bus",
            local_time(row["created_at"]),
            row["released_by"] or "",
            row["reason"] or "",
        )
        table.add_row(row["model"][:12], row["state"], f"{row['pairs']:,} pairs", drift, *map(escape, cells))
    out.print(table if table.row_count else "no model yet: run `motlan reconcile`")


@app.command(epilog=examples("motlan model show", "motlan model show 0123456789ab --svg weights.svg"))
def show(
    model: Annotated[str | None, typer.Argument(help="Its id, or 8 digits of it; by default the released one.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw the weights to this file as well.")] = None,
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's weights, its thresholds, and what it would change."""
    with report_errors(as_json):
        work, of = opened(entity)
        found = model_proposals.shown(work, model, of)
        body = Model.model_validate(found.pop("body"))
        if svg:
            svg.write_text(weights_svg(work.registry.entity(found["entity"]).matching, body), encoding="utf-8")
    if as_json:
        out.print_json(json.dumps(found))
        return
    _print_weights(found)
    drift = "" if found["drift"] is None else f", drift {found['drift']:.2f} bits"
    out.print(
        f"model {found['model'][:12]}: {found['state']}{drift}, learned from {found['pairs']:,} pairs", highlight=False
    )
    out.print(
        f"linked from probability {found['link_threshold']}, reviewed from {found['review_threshold']}; "
        f"{found['persons']:,} persons, "
        f"{found['known']:.2%} of all rows belong to one of them",
        highlight=False,
    )
    if found["report"]:
        _print_report(found["report"])


def _print_weights(found: dict[str, Any]) -> None:
    table = Table("comparison", "level", "bits", "", title="weights")
    widest = max(abs(row["match_weight"]) for row in found["weights"]) or 1
    for row in found["weights"]:
        bar = "█" * max(round(abs(row["match_weight"]) / widest * LONGEST_BAR), 1)
        colour = "green" if row["match_weight"] > 0 else "red"
        table.add_row(
            escape(row["comparison"]), escape(row["is"]), f"{row['match_weight']:+.2f}", f"[{colour}]{bar}[/{colour}]"
        )
    out.print(table)


def _print_report(report: dict[str, Any]) -> None:
    if "rows" not in report:
        out.print("it cannot be compared with the model before it: the comparisons declared are others")
        return
    out.print(
        f"of {report['rows']:,} rows {report['changed']:,} would change, {report['regrouped']:,} of them their person; expected "
        f"wrong links {report['expected_wrong_was']:.1f} -> {report['expected_wrong']:.1f}, missed rows "
        f"{report['expected_missed_was']:.1f} -> {report['expected_missed']:.1f}",
        highlight=False,
    )
    for name in ("outcome", "rule", "area"):
        table = Table(
            *(key.replace("_", " ") for key in (report[f"by_{name}"] or [{}])[0]), title=f"rows that change, by {name}"
        )
        for row in report[f"by_{name}"]:
            table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
        if table.row_count:
            out.print(table)


@app.command(epilog=examples("motlan model fit", "motlan model fit --json"))
def fit(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """Learn a model from what is landed, link all rows under it in scratch, and propose it with a report of what changes."""
    with report_errors(as_json), working("fitting", as_json):
        found = model_proposals.fit(*opened(entity), me())
    if as_json:
        out.print_json(json.dumps(found))
        return
    _print_report(found["report"])
    drift = (
        "not comparable" if found["drift"] is None else f"{found['drift']:.2f} bits of drift, limit {found['limit']}"
    )
    err.print(f"model {found['model'][:12]}: {found['state']}, {drift}", markup=False, highlight=False)


@app.command(epilog=examples("motlan model release 0123456789ab", "motlan model release 0123456789ab < why.json"))
def release(model: ModelId, as_json: AsJson = False) -> None:
    """Let a proposed model decide from the next reconcile on. Past the limit of drift, not by its fitter. Asks why."""
    with report_errors(as_json):
        work, principal = open_workspace(), releaser()
        limit = work.registry.entity(models.require_proposed(work.store, model)["entity"]).matching.max_drift
        done = models.release(work.store, model, principal, read_reason(), limit)
    _report(done, "released", as_json)


@app.command(epilog=examples("motlan model refuse 0123456789ab < why.json"))
def refuse(model: ModelId, as_json: AsJson = False) -> None:
    """Refuse a proposed model. Asks why."""
    with report_errors(as_json):
        store, principal = open_workspace().store, releaser()
        models.require_proposed(store, model)
        done = models.refuse(store, model, principal, read_reason())
    _report(done, "refused", as_json)


@app.command(epilog=examples("motlan model errors", "motlan model errors --json"))
def errors(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """Show how many published links are expected to be wrong, and rows missed, by area, age, ethnicity as declared."""
    with report_errors(as_json), working("counting", as_json):
        found = expectations.expected(*opened(entity))
    if as_json:
        out.print_json(json.dumps(found))
        return
    for name, groups in {"all": [{"group": "all", **found["all"]}], **found["by"]}.items():
        table = Table(name, "links", "expected wrong", "rate", "in review", "expected missed", "rate")
        for row in groups:
            rates = ("" if row[rate] is None else f"{row[rate]:.4%}" for rate in ("wrong_rate", "missed_rate"))
            wrong, missed = rates
            told_ = (
                f"{row['links']:,}",
                f"{row['wrong']:.2f}",
                wrong,
                f"{row['reviews']:,}",
                f"{row['missed']:.2f}",
                missed,
            )
            table.add_row(escape(row["group"] or "unknown"), *told_)
        out.print(table)
    if precision := found["clerical"]["precision"]:
        interval = f"{precision['share']:.4f} ({precision['low']:.4f} to {precision['high']:.4f})"
        out.print(f"of {found['clerical']['decided']} sampled links people found right: {interval}", highlight=False)


def _report(model: str, state: str, as_json: bool) -> None:
    report_done({"model": model, "state": state}, as_json, f"model {model[:12]}: {state}")
