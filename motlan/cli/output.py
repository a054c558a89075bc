"""What every command shares: the two consoles, errors told plainly, examples made from the registry."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import rich.table
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from motlan import principals
from motlan.config import registry
from motlan.errors import AccessError, ConfigurationError, MotlanError, unforeseen
from motlan.expressions import failure
from motlan.openlineage import reporting
from motlan.settings import debugging, load
from motlan.store import open_store
from motlan.store.session import lost
from motlan.telemetry import logs

if TYPE_CHECKING:
    from motlan.workspace import Workspace

WIDTH = 100
"""Columns of what is written into a pipe, which has no width of its own; every table is made to fit."""
_WIDTH = None if sys.stdout.isatty() else WIDTH
out, err = Console(width=_WIDTH), Console(stderr=True)
Wait = Annotated[
    float | None,
    typer.Option("--wait", min=0, help="Seconds to wait for a run of the same that is under way.", metavar="SECONDS"),
]
KEPT = "what was not finished is not kept. Next: run the same again."
"""What Ctrl-C leaves of most commands: they change all or nothing."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
LARGEST = 2**63 - 1
"""The largest number that the store can hold."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


OfEntity = Annotated[
    str | None,
    typer.Option("--entity", help="The linked entity; by default the first that matching.yaml declares."),
]


def _first_dataset() -> str:
    try:
        return next(iter(registry.load().datasets))
    except MotlanError:
        return "DATASET"


EXAMPLE = _first_dataset()


def opened(entity: str | None) -> tuple[Workspace, str]:
    """Open the installation for a linked entity; return it and the entity's name, the first declared where none is given.

    Raises:
        ConfigurationError: There is no such entity.
    """
    from motlan.workspace import open_workspace

    work = open_workspace()
    return work, work.registry.linked(entity).name


def examples(*lines: str) -> str:
    """Format examples for a command's help; `{dataset}` is the first that the registry declares."""
    shown = "\n\n".join(line.replace("{dataset}", EXAMPLE) for line in lines)
    return f"Examples:\n\n{shown}"


def local_time(moment: str | None) -> str:
    """Show a stored UTC moment in the time of this place; what is no moment (a drop's name) stays."""
    try:
        return datetime.fromisoformat(moment or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return moment or ""


class Table(rich.table.Table):
    """A table that folds what is too wide for its column: an id that was cut could not be typed."""

    def add_column(self, *args: Any, **options: Any) -> None:
        """Add a column; see `rich.table.Table`."""
        super().add_column(*args, **{"overflow": "fold", **options})


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5_400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{round(seconds / 86_400)} days"


def parse_since(text: str | None) -> datetime | None:
    """Read a moment: a date or a time of this place in ISO 8601, or how long ago, such as `90m`, `36h` or `7d`.

    Raises:
        ConfigurationError: It is none.
    """
    if text is None:
        return None
    if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
        unit = {"m": "minutes", "h": "hours", "d": "days"}[ago.group(2)]
        return datetime.now(UTC) - timedelta(**{unit: int(ago.group(1))})
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ConfigurationError(
            "this is no moment", where="--since", next_step="write 2026-11-30, 2026-11-30T08:00, 90m, 36h or 7d."
        ) from None


class Quiet(typer.Typer):
    """A command line that ends with our own message where a library's error, which may quote a value, would be printed."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it. What it writes is for its owner's eyes: results about persons go to files that a person names, too."""
        os.umask(0o077)
        try:
            logs.configure()
            return super().__call__(*args, **kwargs)
        except Exception as error:
            if debugging():
                raise
            _print_error(
                error
                if isinstance(error, MotlanError)
                else lost(error) or failure(error) or unforeseen(error, "motlan")
            )
            raise SystemExit(1) from None


def _print_error(error: MotlanError) -> None:
    err.print(f"[red]{type(error).__name__}[/red]: ", end="")
    err.print(str(error), markup=False, highlight=False)


@contextmanager
def report_errors(as_json: bool = False, stands: str = KEPT) -> Iterator[None]:
    """Turn our own errors into a clear message and an exit code of 1, and Ctrl-C into what stands and an exit code of 130.

    Args:
        as_json: Whether it is printed for machines.
        stands: What stands after Ctrl-C, and what to do, in one line.
    """
    try:
        yield
    except KeyboardInterrupt:
        report_done({"error": "Interrupted", "message": f"stopped: {stands}"}, as_json, f"stopped: {stands}")
        raise typer.Exit(INTERRUPTED) from None
    except MotlanError as error:
        if as_json:
            out.print_json(json.dumps({"error": type(error).__name__, "message": str(error)}))
        else:
            _print_error(error)
        raise typer.Exit(1) from None
    finally:
        reporting.report()


def report_done(done: Any, as_json: bool, line: str) -> None:
    """Say what was done: one JSON object for machines on standard output, or a line for people on standard error."""
    if as_json:
        out.print_json(json.dumps(done))
    else:
        err.print(line, markup=False, highlight=False)


@contextmanager
def working(what: str, as_json: bool = False) -> Iterator[None]:
    """Show that something goes on, where a person looks."""
    if as_json:
        yield
    else:
        with err.status(what):
            yield


@contextmanager
def progress_bars(as_json: bool = False) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show bars of work that is done in parts, where a person looks; give what is called with a part, how much is done, and of
    how much, None where that is not known yet.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=as_json) as bar:
        tasks: dict[str, TaskID] = {}

        def show(part: str, done: int, total: int | None) -> None:
            if part not in tasks:
                tasks[part] = bar.add_task(part, total=total)
            bar.update(tasks[part], completed=done, total=total)

        yield show


def read_hidden(prompt: str) -> str:
    """Read one line that is no argument, because arguments stand in process lists: at a prompt that shows nothing of it, or
    from standard input.
    """
    return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")


def me() -> str:
    """Return who acts here, as the ledger names people: the person who signed in, or else the machine account.

    Raises:
        AccessError: A sign-in is there that holds no longer.
    """
    settings = load()
    return principals.current(open_store(settings), settings)


def releaser() -> str:
    """Return who acts here, where releasing is theirs.

    Raises:
        AccessError: They signed in as a reviewer, or the sign-in holds no longer.
    """
    settings = load()
    found = principals.signed_in(open_store(settings), settings)
    if found is not None and found["role"] == "reviewer":
        raise AccessError("a reviewer releases nothing", next_step="let a steward or an admin sign in and decide.")
    return me()


def read_reason() -> str:
    """Ask for a decision's reason at a prompt, or read it as JSON from standard input.

    It may name persons, so it is never an argument: those stand in process lists and shell histories.

    Raises:
        ConfigurationError: Standard input holds something else.
    """
    if sys.stdin.isatty():
        return input("Why: ")
    try:
        why = json.load(sys.stdin)["why"]
        why.encode()  # half a character, or U+0000, which the store cannot hold
        if "\x00" in why:
            why = None
    except (ValueError, TypeError, KeyError, AttributeError):
        why = None
    if not isinstance(why, str):
        raise ConfigurationError("standard input is not the decision as JSON", next_step='give {"why": "..."}.')
    return why
