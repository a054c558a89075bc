"""Kills: the main job on a small country, killed at random moments, beside a twin that nobody disturbs.

    python -m tests.soak.driver FOLDER KILLS SEED

Each command is a process of its own, forked from this one, which has imported everything and opened nothing. A kill is a SIGKILL
of the command's process, of PostgreSQL's first process, or of one of its others. A command that was killed, or says that the
failure may pass, is given again. It prints what is left to compare, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import psutil

from motlan import pipeline
from motlan.backup.confirm import confirm
from motlan.backup.folder import chosen
from motlan.backup.restore import restore
from motlan.config import registry
from motlan.errors import ContractError, TransientError
from motlan.publication import checkpoints
from motlan.settings import load
from motlan.store import server, supervisor
from motlan.store.session import lost
from motlan.workspace import open_workspace
from tests.conftest import Country, card_record, declare_country, spine_record

ROUND = ("sync alpha_people", "sync beta_cards", "reconcile", "publish", "project")
PASSING, BROKEN = 3, 4
"""Codes of a command that says that its failure may pass, and of one that failed otherwise."""
PEOPLE, CHANGES = 40, 6
FAMILIES, NAMES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ"), ("An", "Bình", "Cường", "Dũng", "Hòa", "Mai", "Sơn")


class Registers:
    """What the two registers hold, round by round: the same for both buses."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.spine: dict[int, dict[str, str | None]] = {}
        self.cards: dict[int, dict[str, str | None]] = {}

    def change(self, turn: int) -> None:
        """Add and change some people."""
        new = range(len(self.spine), len(self.spine) + (PEOPLE if turn == 0 else CHANGES))
        old = self.chance.sample(sorted(self.spine), CHANGES) if self.spine else []
        for number in (*new, *old):
            moment = f"2026-09-01T{turn // 60:02}:{turn % 60:02}:00.000000Z"
            day, month, year = number % 28 + 1, number % 12 + 1, 1950 + number % 50
            name = f"{self.chance.choice(FAMILIES)} Văn {self.chance.choice(NAMES)}"
            identity = f"0010{year % 100:02}{number:06}"
            row = (f"a{number}", identity, name, f"{year}-{month:02}-{day:02}", "male", None)
            self.spine[number] = spine_record(row, moment)
            # Some cards have no name, some another one: held rows, and corrections.
            card = None if number % 11 == 7 else f"{name.rsplit(' ', 1)[0]} Tý" if number % 5 == 3 else name.upper()
            born = f"{day:02}/{month:02}/{year}"
            row = (f"b{number}", identity, card, born, "male", f"GD40{number:011}")
            self.cards[number] = card_record(row, moment)

    def fill(self, country: Country) -> None:
        """Let a country's registers hold it."""
        country.write("alpha_people", list(self.spine.values()))
        country.write("beta_cards", list(self.cards.values()))


class Bus:
    """One installation, and its commands as processes."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.country = declare_country(folder)
        # Many rounds in a few minutes change more than a country does in a week: each publication is judged by itself.
        (folder / "mapping" / "breakers.yaml").write_text("person: {window_days: 0}\n", encoding="utf-8")

    def enter(self) -> None:
        """Let this process be of this installation."""
        os.environ.pop("MOTLAN_DATABASE_URL", None)
        os.environ |= {"MOTLAN_HOME": str(self.home), "MOTLAN_VAR": str(self.home / "var"), "MOTLAN_THREADS": "1"}
        os.environ |= {"MOTLAN_MEMORY_LIMIT": "500MB", "COUNTRY_URL": f"file://{self.home / 'registers'}"}
        os.environ |= {"MOTLAN_BACKUP": f"{self.home}-backup", "MOTLAN_CHECKPOINTS": f"{self.home}-checkpoints.jsonl"}

    def begin(self, command: str) -> int:
        """Begin a command; return its process."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        code = BROKEN
        try:
            self.enter()
            perform(command)
            code = 0
        except TransientError as error:
            self._note(f"passing: {command}: {error}")
            code = PASSING
        except BaseException as error:  # noqa: BLE001 - told to the parent by its code
            if passing := lost(error):  # in the driver's own queries
                self._note(f"passing: {command}: {passing}")
                os._exit(PASSING)
            self._note(f"broken: {command}: {type(error).__name__}: {error}\n{traceback.format_exc()}")
        finally:
            os._exit(code)

    def _note(self, text: str) -> None:
        with (self.home / "failures").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def do(self, command: str) -> float:
        """Do a command to its end, however often it takes; return the seconds of the last try."""
        for _ in range(20):
            started = time.monotonic()
            code = os.waitstatus_to_exitcode(os.waitpid(self.begin(command), 0)[1])
            if code == 0:
                return time.monotonic() - started
            if code != PASSING:
                raise SystemExit(f"{command} failed:\n{(self.home / 'failures').read_text(encoding='utf-8')}")
            time.sleep(0.5)
        raise SystemExit(f"{command} does not pass:\n{(self.home / 'failures').read_text(encoding='utf-8')}")

    def kill(self, command: str, after: float, chance: random.Random) -> str | None:
        """Kill something while a command is under way; return what, None where it had ended before."""
        pid = self.begin(command)
        time.sleep(after)
        victim, process = chance.choices(("command", "postmaster", "backend"), (7, 1, 2))[0], psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code == BROKEN:
                raise SystemExit((self.home / "failures").read_text(encoding="utf-8"))
            return None
        if victim != "command":
            postmaster = supervisor.postmaster(self.home / "var" / "store")
            others = postmaster.children() if postmaster and victim == "backend" else []
            chosen = chance.choice(others) if others else postmaster
            if chosen is None:
                victim = "command"
            else:
                chosen.kill()
        if victim == "command":
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == BROKEN:
            raise SystemExit((self.home / "failures").read_text(encoding="utf-8"))
        return victim


def perform(command: str) -> None:
    """Do a command of the bus, in this process."""
    match command.split():
        case ["sync", dataset]:
            pipeline.sync(dataset)
        case ["reconcile"]:
            pipeline.reconcile()
        case ["publish"]:
            _publish()
        case ["project"]:
            pipeline.project(_newest("published", "unchanged"))
        case ["backup"]:
            pipeline.backup()
        case ["restore"]:
            _restore()
        case ["confirm"]:
            work = open_workspace()
            confirm(work, checkpoints.read(work.settings.checkpoints.read_text(encoding="utf-8").splitlines()))
        case ["stop"]:
            server.stop(load())
        case ["tell", path]:
            from tests.soak.state import state

            Path(path).write_text(json.dumps(state()), encoding="utf-8")


def _restore() -> None:
    """Restore the newest backup into the place that was lost."""
    settings = load()
    restored = restore(settings, *chosen(settings.backup))
    if restored.wrong:
        raise ContractError("; ".join(restored.wrong), next_step="look into it.")


def _publish() -> None:
    """Publish as `motlan publish` does; a run that an earlier try has made visible already is published."""
    if _newest("reconciled", "waiting", "released", "published", "unchanged") == _newest("published", "unchanged"):
        return
    pipeline.publish()


def _newest(*states: str) -> str:
    import sqlalchemy as sa

    from motlan.store import tables

    table = tables.runs.c
    query = sa.select(sa.func.max(table.id)).where(table.kind == "reconcile", table.state.in_(states))
    with open_workspace().store.engine.connect() as connection:
        return connection.execute(query).scalar_one() or ""


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Do rounds until there were enough kills, and one more without any; return both states and the kills."""
    os.environ["MOTLAN_LANDED_CHUNK_ROWS"] = "20"
    chance, registers = random.Random(seed), Registers(seed)
    calm, killed = Bus(folder / "calm"), Bus(folder / "killed")
    killed.enter()
    registry.load()  # what it imports and reads is there when the commands are forked
    done: list[str] = []
    turn = 0
    while len(done) < kills:
        registers.change(turn)
        for bus in (calm, killed):
            registers.fill(bus.country)
        for command in ROUND:
            seconds = calm.do(command)
            while len(done) < kills and chance.random() < 0.8:
                victim = killed.kill(command, chance.uniform(0, seconds), chance)
                if victim is None:
                    break
                done.append(f"{victim} in {command}")
            killed.do(command)
        turn += 1
    for command in ROUND:
        killed.do(command)
        calm.do(command)
    told = {}
    for name, bus in (("calm", calm), ("killed", killed)):
        bus.do(f"tell {bus.home / 'state.json'}")
        told[name] = json.loads((bus.home / "state.json").read_text(encoding="utf-8"))
        bus.do("stop")
    passed = killed.home / "failures"
    return {**told, "kills": done, "rounds": turn, "passed": passed.read_text() if passed.exists() else ""}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
