"""`motlan contract`: what a dataset promises, written out in published standards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from motlan.cli.output import examples, out, report_errors

app = typer.Typer(
    help="Data contracts, made from the canonical schemas and rules.",
    epilog=examples("motlan contract export {dataset}"),
    no_args_is_help=True,
)


@app.callback()
def contract() -> None:
    """Data contracts, made from the canonical schemas and rules."""


@app.command(
    epilog=examples("motlan contract export {dataset} --out contract.yaml", "motlan contract export {dataset} --schema")
)
def export(
    dataset: Annotated[str, typer.Argument(help="As `motlan status` lists them.")],
    schema: Annotated[bool, typer.Option("--schema", help="JSON Schema of the canonical rows instead.")] = False,
    target: Annotated[Path | None, typer.Option("--out", help="File to write; the screen where absent.")] = None,
) -> None:
    """Write the data contract (ODCS 3, YAML) of a dataset: schema, quality rules, freshness, owner."""
    from motlan.config import registry
    from motlan.contracts import data_contract, json_schema

    with report_errors():
        declared = registry.load()
        found = declared.dataset(dataset)
        text = _json(json_schema(declared, found)) if schema else _yaml(data_contract(declared, found))
    if target is None:
        out.print(text, markup=False, highlight=False, soft_wrap=True, end="")
    else:
        target.write_text(text, encoding="utf-8")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120))
