"""`motlan link`: link two files, or find duplicates in one, without an installation of the bus."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from motlan.cli.output import AsJson, Table, err, examples, out, report_errors, working
from motlan.config.functions import install_functions
from motlan.errors import ConfigurationError
from motlan.settings import declared_home

EPILOG = examples(
    "motlan link customers.csv register.parquet --propose > link.yaml",
    "motlan link customers.csv register.parquet --config link.yaml --out linked",
    "motlan link customers.csv --config duplicates.yaml --out duplicates --json",
)


def link(
    left: Annotated[Path, typer.Argument(help="CSV (UTF-8, with a header) or Parquet.")],
    right: Annotated[
        Path | None, typer.Argument(help="Another; without it, duplicates are looked for in LEFT.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML that says what to compare; see docs/how-to/link-files.md.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results; earlier ones are replaced.")
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Print a configuration to begin with, and do no more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Link the rows of two files that are about one person, or find duplicates in one.

    Writes pairs.parquet (left_key, right_key, match_weight, match_probability, decision: link, review or non_link),
    clusters.parquet (key, cluster_id, file), model.json, and report.html, which shows values of the files. They replace
    earlier ones in one go at the end: a run that is stopped leaves those as they were, and is simply run again.
    """
    with report_errors(as_json):
        install_functions(declared_home())
        if propose:
            _propose(left, right)
            return
        if config is None or folder is None:
            raise ConfigurationError(
                "--config and --out are needed", where="motlan link", next_step="begin with --propose > link.yaml."
            )
        made = _link(left, right, config, folder, as_json)
    if as_json:
        out.print_json(json.dumps(made))
        return
    table = Table("", "", show_header=False, title=f"linked into {folder}")
    for name, value in made.items():
        shown = (
            f"{value:,}" if isinstance(value, int) else ", ".join(map(str, value)) if isinstance(value, list) else value
        )
        table.add_row(name.replace("_", " "), str(shown))
    out.print(table)


def _propose(left: Path, right: Path | None) -> None:
    from motlan.file_linking.propose import propose

    with working("looking at the columns"):
        text = propose(left, right)
    out.print(text, markup=False, highlight=False, soft_wrap=True, end="")


def _link(left: Path, right: Path | None, config: Path, folder: Path, as_json: bool) -> dict[str, Any]:
    from motlan.file_linking.configuration import configuration
    from motlan.file_linking.link_files import RESULTS, link_files

    start = time.monotonic()
    configured = configuration(config, 2 if right else 1)
    if as_json:
        summary = link_files(left, right, configured, folder)
    else:
        with err.status("starting") as status:
            summary = link_files(left, right, configured, folder, status.update)
    counts = asdict(summary)
    rows = {f"{side}_rows": count for side, count in counts.pop("rows").items()}
    files = [str(folder / name) for name in RESULTS]
    return {**rows, **counts, "seconds": round(time.monotonic() - start, 1), "files": files}
