"""What `make up` finds standing: the world that goes on, what a new one would remove, and what is kept running beside Airflow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from demo import airflow_home
from demo.services import how
from motlan import people, processes
from motlan.errors import ConfigurationError, TransientError
from motlan.settings import Settings
from motlan.store import server, supervisor
from motlan.workspace import Workspace
from simulators import Agencies

DEFAULTS = {"people": 20_000, "seed": 1, "dirt": "default"}
MEANT = {
    "lake": "all rows that were landed, cleaned, linked and merged",
    "payloads": "all payloads as they were received",
    "scratch": "what passes between the steps of runs",
    "world": "the people and their registers, with the agencies' passwords",
    "report.json": "the report of the last demo",
}


@dataclass(frozen=True)
class Asked:
    """The world that was asked for; None where nothing was said."""

    people: int | None = None
    seed: int | None = None
    dirt: str | None = None


def choose(var: Path, asked: Asked, *, fresh: bool) -> tuple[int, int, str, bool]:
    """Return people, seed and dirt of the world to run, and whether it is the one that is there.

    Raises:
        ConfigurationError: There is another one than was asked for.
    """
    wanted = {name: value for name, value in vars(asked).items() if value is not None}
    there = None if fresh else _there(var)
    if there is None:
        chosen = DEFAULTS | wanted
        return int(chosen["people"]), int(chosen["seed"]), str(chosen["dirt"]), False  # type: ignore[call-overload]
    if others := [f"{name.upper()}={value}" for name, value in wanted.items() if there[name] != value]:
        held = " ".join(f"{name.upper()}={there[name]}" for name in DEFAULTS)
        raise ConfigurationError(
            f"this folder holds a world of {held}, and {' '.join(others)} was asked for",
            where=str(var),
            next_step=f"`make up` goes on with it; `make up FRESH=1 {' '.join(others)}` removes it and makes the other one.",
        )
    return int(there["people"]), int(there["seed"]), str(there["dirt"]), True


def _there(var: Path) -> dict[str, Any] | None:
    """Return how the world was made that is there; None where there is none, or none that is whole."""
    try:
        told = json.loads((var / "world" / "world.json").read_text(encoding="utf-8"))
        whole = (var / "world" / "today").exists() and (var / "store" / "PG_VERSION").exists()
        return {name: told[name] for name in DEFAULTS} if whole else None
    except (OSError, ValueError, KeyError):
        return None


def what_goes(var: Path, state: Sequence[str]) -> list[str]:
    """Return lines that say what a new world removes: files and folders with their sizes, and the bus's database."""
    lines = [
        f"{var / name} ({_size(var / name) / 1e6:,.1f} MB): {MEANT.get(name, name)}"
        for name in state
        if (var / name).exists()
    ]
    if lines and (var / "store" / "PG_VERSION").exists():
        lines.append(
            "the bus's database: runs, publications, feeds, decisions, API keys and the log. Airflow's history stays"
        )
    return lines


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in (path, *path.rglob("*")) if not file.is_dir())


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Let nobody else run the world of this folder meanwhile.

    Raises:
        ConfigurationError: Somebody does.
    """
    file = var / "up.json"
    var.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            break
        except FileExistsError:
            _refuse_second(file, var)
            file.unlink(missing_ok=True)  # of one that was killed
    else:
        raise ConfigurationError("another one begins to run this world", where=str(var), next_step="try again.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        json.dump(processes.me().as_dict(), written)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _refuse_second(file: Path, var: Path) -> None:
    try:
        other = processes.Process.of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError):
        return
    if other.lives():
        raise ConfigurationError(
            f"this world runs already, by process {other.pid}", where=str(var), next_step="end that one with Ctrl-C."
        )


def add_people(work: Workspace) -> None:
    """Let the bus know who may sign in to Airflow, by the same names: they release what is held back."""
    known = {person["name"] for person in people.listed(work.store)}
    for user in airflow_home.USERS:
        if user not in known:
            people.add(work.store, work.settings, user, people.STEWARD)


class Database:
    """The embedded PostgreSQL, as something that is kept running."""

    name = supervisor.NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ended(self) -> str | None:
        """Say that it ended."""
        return None if supervisor.postmaster(self._settings.store) else "was ended"

    def start_again(self) -> None:
        """Start it again."""
        try:
            server.start(self._settings)
        except psycopg.Error:  # it replays its log
            raise TransientError("it does not answer yet") from None


class Agency:
    """A simulated agency, as something that is kept running."""

    def __init__(self, agencies: Agencies, agency: str) -> None:
        self.name = f"the agency {agency}"
        self._agencies, self._agency = agencies, agency

    def ended(self) -> str | None:
        """Say how it ended."""
        return how(self._agencies.ended(self._agency))

    def start_again(self) -> None:
        """Start it again, at its address."""
        try:
            self._agencies.start_again(self._agency)
        except (OSError, RuntimeError) as error:
            raise TransientError(str(error), where=self.name) from None
