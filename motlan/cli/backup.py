"""`motlan backup` and `motlan restore`: what brings the bus back, and what follows it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from motlan import pipeline
from motlan.backup import confirm as reconciliation
from motlan.backup import restore as restoring
from motlan.backup.folder import BackupFolder, chosen, moment_of
from motlan.backup.manifest import Manifest
from motlan.cli.output import AsJson, Table, err, examples, me, out, read_reason, report_done, report_errors
from motlan.errors import ConfigurationError, MotlanError
from motlan.ledger import accesses
from motlan.publication import checkpoints
from motlan.settings import load
from motlan.workspace import open_workspace


class _Restoring(TyperGroup):
    """The group of `motlan restore`, of which `from` is meant where no other command is named."""

    default = "from"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        named = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if named else [self.default, *args])


app = typer.Typer(invoke_without_command=True)
restore_app = typer.Typer(
    cls=_Restoring,
    help="Bring a backup back into an empty place, and reconcile it. `motlan restore FROM` brings it back.",
    epilog=examples("motlan restore /mnt/backup", "motlan restore confirm"),
    no_args_is_help=True,
)


@app.callback(epilog=examples("motlan backup", "motlan backup --to /mnt/backup --every 5", "motlan backup check"))
def take(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="The folder of backups; MOTLAN_BACKUP where absent.")] = None,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Take one every so many minutes, until Ctrl-C.", metavar="MINUTES")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a backup of store, lake, payloads and keys at one point in time, while runs go on.

    Files that an earlier one has are not copied again.
    """
    if context.invoked_subcommand:
        return
    place = str(to) if to else None
    with report_errors(as_json):
        while True:
            began = time.monotonic()
            try:
                _report_taken(_watched(as_json, lambda watch: pipeline.backup(place, watch=watch)), as_json)
            except MotlanError as error:
                if every is None or isinstance(error, ConfigurationError):
                    raise
                err.print(f"{type(error).__name__}: {error}", markup=False, highlight=False)
            if every is None:
                return
            time.sleep(max(0.0, 60 * every - (time.monotonic() - began)))


def _watched(as_json: bool, do: Callable[[Callable[[str], None]], dict[str, Any]]) -> dict[str, Any]:
    """Do something and show what it begins, where a person looks."""
    if as_json:
        return do(lambda _: None)
    with err.status("beginning") as status:
        return do(status.update)


def _report_taken(done: dict[str, Any], as_json: bool) -> None:
    line = (
        f"backup {done['backup']}: publication {done['publication']}, {done['files']:,} files, {_size(done['bytes'])}; "
        f"new {done['new_files']:,} files, {_size(done['new_bytes'])}; {done['seconds']} s"
    )
    report_done(done, as_json, line + (f"; {done['removed']} older ones removed" if done["removed"] else ""))


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


@app.command("list", epilog=examples("motlan backup list", "motlan backup list --json"))
def list_(
    of: Annotated[Path | None, typer.Option("--of", help="The folder of backups; MOTLAN_BACKUP where absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the backups: which point in time and publication each holds, and how much it has."""
    with report_errors(as_json):
        found = [_described(path) for path in BackupFolder.of(load(), of).backups()]
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("backup", "taken (local)", "publication", "epoch", "files", "size")
    for row in found:
        taken = moment_of(Path(row["backup"])).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            row["backup"], taken, str(row["publication"]), str(row["epoch"]), f"{row['files']:,}", _size(row["bytes"])
        )
    out.print(table if found else "there is no backup yet: motlan backup")


def _described(path: Path) -> dict[str, Any]:
    manifest = Manifest.read(path)
    numbers = {name: getattr(manifest, name) for name in ("taken_at", "publication", "epoch", "log_size")}
    return {
        "backup": path.name,
        **numbers,
        "files": len(manifest.files),
        "bytes": sum(size for size, _ in manifest.files.values()),
    }


@app.command(epilog=examples("motlan backup check", "motlan backup check /mnt/backup/20261130T170000000000Z --json"))
def check(
    backup: Annotated[
        str | None, typer.Argument(help="A backup, or a folder of them; the newest of MOTLAN_BACKUP where absent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a temporary place, prove it, and remove it: what to do each night. Exits with 1 where it is damaged.

    Every file is held to its hash, the log's root is computed again, counts are compared, the golden tables and feeds are made
    again, and golden values are replayed from what was landed.
    """
    with report_errors(as_json):
        done = _watched(as_json, lambda watch: pipeline.check_backup(backup, watch=watch))
    report_done(done, as_json, f"backup {done['backup']} comes back whole: {_proven(done)}")


def _proven(done: dict[str, Any]) -> str:
    return (
        f"publication {done['publication']}, {done['files']:,} files of {_size(done['bytes'])}, the log's root, "
        f"{done['replayed_equal']} of {done['replayed']} golden values replayed; {done['seconds']} s"
    )


@app.command(epilog=examples("motlan backup checkpoint", "motlan backup checkpoint --json > checkpoint.json"))
def checkpoint(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the line that `motlan restore confirm` reads, with its proof.")
    ] = False,
) -> None:
    """Show what is published now: what a restore is reconciled with. Publications write it to MOTLAN_CHECKPOINTS themselves."""
    with report_errors(as_json), open_workspace().store.engine.connect() as connection:
        found = checkpoints.read_now(connection)
    if as_json:
        print(found.line())  # noqa: T201 - one line, as the file has it
        return
    seqs = ", ".join(f"{entity} {seq:,}" for entity, seq in found.seqs.items()) or "none"
    out.print(f"publication {found.publication}, epoch {found.epoch}, last numbers of the feeds: {seqs}")
    out.print(f"log of {found.log_size:,} entries, root {found.root}", soft_wrap=True)


@restore_app.command(
    "from", epilog=examples("motlan restore /mnt/backup", "motlan restore /mnt/backup --to /srv/motlan")
)
def from_(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A backup, or a folder of them: its newest one.")],
    to: Annotated[
        Path | None, typer.Option(metavar="VAR", help="An empty folder for the state; MOTLAN_VAR where absent.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="The backup's keys, where they are kept apart.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into an empty place. Nothing is published from it until `motlan restore confirm`.

    Restore into the folder where the state lay, if you can: elsewhere the bus finds the lake's files, but other readers of
    Iceberg do not.
    """
    with report_errors(as_json):
        settings = load()
        settings = replace(settings, var=to.resolve()) if to else settings
        folder, backup = chosen(source)
        restored = None

        def bring(watch: Callable[[str], None]) -> dict[str, Any]:
            nonlocal restored
            restored = restoring.restore(settings, folder, backup, keys=keys, watch=watch)
            return restored.counts | {"wrong": restored.wrong}

        done = _watched(as_json, bring)
    report_done(done, as_json, f"backup {done['backup']} is back in {settings.var}: {_proven(done)}")
    if as_json and not done["wrong"]:
        return
    if done["declared_differs"]:
        err.print(
            "adapters/, schemas/ or mapping/ are not as they were when it was taken: the next run does everything anew."
        )
    for wrong in done["wrong"]:
        err.print(f"[red]not as it was taken:[/red] {wrong}")
    if done["wrong"]:
        raise typer.Exit(1)
    where = f"MOTLAN_VAR={settings.var} " if to else ""
    if done["erasures_to_repeat"]:
        err.print(
            f"[yellow]{done['erasures_to_repeat']} records were erased since this backup and are here again.[/yellow] "
            f"First: {where}motlan erase --again, as an admin who signed in.",
            soft_wrap=True,
        )
    err.print(
        f"Nothing is published until it is reconciled. Next: {where}motlan restore confirm",
        markup=False,
        soft_wrap=True,
    )


@restore_app.command(
    epilog=examples("motlan restore confirm", "motlan restore confirm --checkpoint /mnt/elsewhere/checkpoints.jsonl")
)
def confirm(
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="The file that publications wrote, or - for standard input; MOTLAN_CHECKPOINTS where absent."
        ),
    ] = None,
    no_checkpoint: Annotated[
        bool,
        typer.Option(
            "--no-checkpoint", help="Go on where none was kept: asks why, and begins an epoch far behind all numbers."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Reconcile a restored state with what was published last, and let it publish again.

    Where it is behind, the feeds' epoch rises: readers take a snapshot, and no number is given out twice.
    """
    with report_errors(as_json):
        work = open_workspace()
        reconciliation.read_note(work)
        if no_checkpoint:
            done = reconciliation.confirm_without(work, read_reason())
        else:
            done = reconciliation.confirm(work, checkpoints.read(_lines(checkpoint, work.settings.checkpoints)))
        accesses.record(work.store, me(), "restore.confirm", f"epoch {done['epoch']}")
    line = f"reconciled: the next publication is {done['next_publication']}"
    if done["epoch_rose"]:
        line += f"; {done['lost_publications']} publications were lost, and the feeds are in epoch {done['epoch']} now"
    report_done(done, as_json, line + ("; publishing is held by a person as before" if done["held"] else "."))


def _lines(named: str | None, place: Path | None) -> list[str]:
    if named == "-":
        return sys.stdin.readlines()
    path = Path(named) if named else place
    if path is None:
        raise ConfigurationError(
            "no checkpoint is named",
            next_step="give --checkpoint FILE, or set MOTLAN_CHECKPOINTS where publications wrote it.",
        )
    try:
        return checkpoints.file_of(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"the checkpoints cannot be read ({type(error).__name__})",
            where=str(checkpoints.file_of(path)),
            next_step="give the file that publications wrote by --checkpoint FILE.",
        ) from None
