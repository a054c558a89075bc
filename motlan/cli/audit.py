"""`motlan audit`: what an auditor checks, signs for and takes along as proof."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from motlan.cli import serving
from motlan.cli.output import (
    AsJson,
    OfEntity,
    Table,
    err,
    examples,
    me,
    opened,
    out,
    progress_bars,
    read_hidden,
    report_done,
    report_errors,
)
from motlan.errors import ConfigurationError, DataError
from motlan.settings import load

app = typer.Typer(
    help="Check that nothing was changed behind the bus's back, and take proof of a value along.",
    epilog=examples("motlan audit verify", "motlan audit prove full_name --out name.tlog-proof"),
    no_args_is_help=True,
)
key_app = typer.Typer(
    help="The key that signs the log.",
    epilog=examples("motlan audit key show", "motlan audit key replace"),
    no_args_is_help=True,
)
witness_app = typer.Typer(
    help="A witness of a log, which an agency runs.",
    epilog=examples("motlan audit witness make-key agency.example/witness --key witness.key"),
    no_args_is_help=True,
)
app.add_typer(key_app, name="key")
app.add_typer(witness_app, name="witness")
Kept = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", help="A checkpoint that was kept elsewhere; can be given several times."),
]


@key_app.command("show", epilog=examples("motlan audit key show", "motlan audit key show --json"))
def show_key(as_json: AsJson = False) -> None:
    """Print the log's public key, which auditors and agencies keep; the private one is made where there is none."""
    from motlan.proof.checkpoints import key_of

    with report_errors(as_json):
        settings = load()
        key = key_of(settings)
    if as_json:
        out.print_json(json.dumps({"key": key.public, "origin": key.name, "file": str(settings.log_key)}))
    else:
        out.print(key.public, markup=False, highlight=False, soft_wrap=True)


@key_app.command(
    "replace", epilog=examples("motlan audit key replace", "motlan audit key replace --name bus.example/log-2")
)
def replace_key(
    name: Annotated[
        str | None, typer.Option(help="Another origin: of a log that goes on after a restore which lost entries.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a new key in the log's place; the old one is destroyed. One checkpoint is signed by both, and the log says so."""
    from motlan.proof import checkpoints
    from motlan.workspace import open_workspace

    with report_errors(as_json):
        work = open_workspace()
        old, new = checkpoints.replace_key(work.store, work.settings, name)
    done = {"replaced": old.public, "key": new.public, "file": str(work.settings.log_key)}
    report_done(done, as_json, f"the log is signed by {new.public} from now on; give it to all who keep the key before")


@app.command(epilog=examples("motlan audit checkpoint", "motlan audit checkpoint --out 2026-12-01.checkpoint"))
def checkpoint(
    to: Annotated[Path | None, typer.Option("--out", help="A file; standard output where absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign the log as it stands now, and give out the checkpoint: keep it where nobody of the bus can change it."""
    from motlan.proof import checkpoints
    from motlan.workspace import open_workspace

    with report_errors(as_json):
        work = open_workspace()
        found = checkpoints.sign(work.store, work.settings)
        if to:
            _write(to, found.note)
    if as_json:
        out.print_json(
            json.dumps({"origin": found.origin, "size": found.size, "root": found.root.hex(), "note": found.note})
        )
    elif to is None:
        sys.stdout.write(found.note)
    else:
        err.print(f"{found.size:,} entries, in {to}", markup=False, highlight=False)


@app.command(
    epilog=examples(
        "motlan audit verify",
        "motlan audit verify --key 'bus.example/log+1234abcd+AbCd...' --checkpoint kept.checkpoint",
        "motlan audit verify --since kept.checkpoint --json",
    )
)
def verify(
    key: Annotated[str | None, typer.Option(help="The log's public key, as it was kept elsewhere.")] = None,
    kept: Kept = None,
    since: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint up to which all was checked: files before it are read where they changed since."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that is stored against the log, and the log against what was kept elsewhere.

    Reads the whole log, every byte of the lake and the payloads, and every row of the feed. Names each thing that is not as the
    log says, with its place and day, and exits with 1 then. Without a key and a checkpoint from elsewhere, who has the machine
    and its key could have rewritten all of it.
    """
    from motlan.ledger import erasures
    from motlan.proof import verify as checking
    from motlan.proof.checkpoints import Checkpoint, key_of
    from motlan.proof.log_check import Pins
    from motlan.workspace import open_workspace

    with report_errors(as_json):
        given = [_read(path) for path in kept or ()]
        start = Checkpoint.read(_read(since)) if since else None
        pinned = [Checkpoint.read(note) for note in given] + ([start] if start else [])
        work = open_workspace()
        pins = Pins(key or key_of(work.settings).public, pinned, start)
        with progress_bars(as_json) as watch:
            found = list(checking.verify(work, pins, watch))
        size = checking.size_of(work)
        with work.store.engine.connect() as connection:
            erasing = erasures.under_way(connection)
    if erasing and not as_json:
        err.print(
            f"An erasure is under way, or was stopped: the projection was not compared. Next: `motlan erase --resume` "
            f"({erasing['erasure']}).",
            markup=False,
        )
    done = {"holds": not found, "entries": size, "checkpoints": len(pinned), "findings": [asdict(one) for one in found]}
    done["erasing"] = erasing["erasure"] if erasing else None
    if as_json:
        out.print_json(json.dumps(done))
    elif found:
        table = Table("where", "what", "row", "day", "finding")
        for one in found:
            table.add_row(one.store, one.place, one.row, one.day, one.what)
        out.print(table)
        err.print(f"{len(found)} things are not as the log says. Next: docs/operations.md#log-broken", markup=False)
    else:
        held = (
            f", and {len(pinned)} checkpoints kept elsewhere" if pinned else "; no checkpoint from elsewhere was given"
        )
        err.print(f"all is as the log says: {size:,} entries{held}", markup=False, highlight=False)
    if found:
        raise typer.Exit(1)


@app.command(
    epilog=examples(
        "motlan audit prove full_name --person ID --out name.tlog-proof",
        "printf '%s' \"$NUMBER\" | motlan audit prove full_name --out name.tlog-proof",
    )
)
def prove(
    field: Annotated[str, typer.Argument(help="The golden field.")],
    to: Annotated[
        Path, typer.Option("--out", help="The file of the proof. It holds the person's record: keep it as such.")
    ],
    entity: OfEntity = None,
    person: Annotated[str, typer.Option(help="The bus's own id of a person, in place of an identifier.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the proof of one value of one person: a file that `motlan audit check` checks offline.

    Asks for the identifier at a prompt, or reads it from standard input. The look is written into the ledger.
    """
    from motlan.lineage.trace import check_field, find_person
    from motlan.proof.prove import prove as prove_value

    with report_errors(as_json):
        work, name = opened(entity)
        check_field(work, name, field)
        if not person:
            person = find_person(work, name, read_hidden("Identifier: ").strip())
        text = prove_value(work, name, person, field, me())
        _write(to, text)
    report_done({"file": str(to), "bytes": len(text.encode())}, as_json, f"proof of {field} in {to}")


@app.command(
    epilog=examples(
        "motlan audit check name.tlog-proof --key 'bus.example/log+1234abcd+AbCd...'",
        "motlan audit check name.tlog-proof --policy witnesses.policy",
    )
)
def check(
    file: Annotated[Path, typer.Argument(help="The proof.")],
    key: Annotated[str | None, typer.Option(help="The log's public key, as it was kept elsewhere.")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A C2SP tlog-policy: the log, its witnesses, and how many must have signed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof, offline: it needs nothing of an installation. `motlan/proof/check.py` does it too, alone."""
    from motlan.proof.check import ProofError
    from motlan.proof.check import check as check_proof

    with report_errors(as_json):
        if bool(key) == bool(policy):
            raise ConfigurationError("the log's key is not known", next_step="give --key or --policy, one of the two.")
        rules = _read(policy) if policy else f"log {key}\nquorum none\n"
        try:
            found = check_proof(_read(file), rules)
        except (ProofError, ValueError, LookupError, TypeError) as error:
            what = str(error) if isinstance(error, ProofError) else "this is no proof of a value"
            raise DataError(
                f"the proof does not hold: {what}", where=str(file), next_step="ask who gave it to you for it again."
            ) from None
    if as_json:
        out.print_json(json.dumps(found))
    else:
        for name, value in found.items():
            out.print(f"{name}: {value}", markup=False, highlight=False)
        err.print("the proof holds")


@witness_app.command(
    "make-key", epilog=examples("motlan audit witness make-key agency.example/witness --key witness.key")
)
def make_witness_key(
    name: Annotated[str, typer.Argument(help="The witness's name: best an address without its scheme.")],
    key: Annotated[Path, typer.Option(help="The file of the private key.")],
    as_json: AsJson = False,
) -> None:
    """Make a witness's key, and print its public half: the operator of the log puts it into the policy."""
    from motlan.proof.keys import WITNESS, make_key, save_key

    with report_errors(as_json):
        made = make_key(name, WITNESS)
        save_key(made, key)
    if as_json:
        out.print_json(json.dumps({"key": made.public, "file": str(key)}))
    else:
        out.print(made.public, markup=False, highlight=False, soft_wrap=True)


@witness_app.command(
    "serve", epilog=examples("motlan audit witness serve --key witness.key --log 'bus.example/log+...'")
)
def serve_witness(
    key: Annotated[Path, typer.Option(help="The file of the private key.")],
    logs: Annotated[
        list[str], typer.Option("--log", help="Public key of a log that it watches; can be given several times.")
    ],
    folder: Annotated[Path, typer.Option(help="Where it keeps the newest checkpoint of each log.")] = Path("witness"),
    host: serving.Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port.", min=1, max=65535)] = 8902,
) -> None:
    """Sign each checkpoint that extends the one before (C2SP tlog-witness). GET /checkpoint?origin=... gives the newest."""
    import uvicorn

    from motlan.proof.check import ProofError, read_key
    from motlan.proof.keys import WITNESS
    from motlan.proof.keys import read_key as read_private
    from motlan.proof.witness import make_app

    with report_errors():
        found = read_private(key)
        if found is None or found.kind != WITNESS:
            raise ConfigurationError(
                "there is no key of a witness", where=str(key), next_step="motlan audit witness make-key --help"
            )
        try:
            for log in logs:
                read_key(log)
        except ProofError as error:
            raise ConfigurationError(
                str(error), where="--log", next_step="give what `motlan audit key show` prints."
            ) from None
        uvicorn.run(make_app(found, logs, folder), host=host, port=port, log_level="warning", access_log=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"this file cannot be read ({type(error).__name__})", where=str(path), next_step="check the path."
        ) from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"this file cannot be written ({type(error).__name__})", where=str(path), next_step="choose another place."
        ) from None
