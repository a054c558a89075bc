"""Drills: a bus that is backed up while it works is killed with its server, its state is lost, and a backup brings it back.

    python -m tests.soak.restore_drill FOLDER DRILLS SEED

Backups are begun at random moments beside the runs; some are killed. A reader reads the feed after each publication. It prints,
as JSON, the recovery points and times, and what the reader saw.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from motlan.backup.folder import BackupFolder, moment_of
from motlan.config import registry
from motlan.settings import load
from motlan.store import server, supervisor
from tests.soak.driver import ROUND, Bus, Registers

ROWS = "select seq, publication, to_jsonb(f)::text from feed_person f order by seq"


class Drill:
    """One bus, its reader, and what they went through."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.bus, self.chance, self.registers = Bus(folder / "bus"), random.Random(seed), Registers(seed)
        # What was lost comes again in one publication: on so few people that is much.
        breakers = self.bus.home / "mapping" / "breakers.yaml"
        breakers.write_text("person: {window_days: 0, minimum: 100000}\n", encoding="utf-8")
        self.var, self.place = self.bus.home / "var", Path(f"{self.bus.home}-backup")
        self.seen: dict[int, str] = {}
        self.told: dict[str, list[Any]] = {"points": [], "times": [], "kills": [], "twice": []}
        self.turn = 0

    def round(self) -> None:
        """Do a round of the main job, with backups begun at random moments beside it."""
        self.registers.change(self.turn)
        self.registers.fill(self.bus.country)
        self.turn += 1
        for command in ROUND:
            beside = self.bus.begin("backup") if self.chance.random() < 0.6 else None
            if beside and self.chance.random() < 0.2:
                self.kill_server()
            self.bus.do(command)
            if beside:
                self.end(beside)
        self.read()

    def kill_server(self) -> None:
        """Kill PostgreSQL while a backup is under way."""
        time.sleep(self.chance.uniform(0, 0.5))
        if postmaster := supervisor.postmaster(self.var / "store"):
            postmaster.kill()
            self.told["kills"].append("postgres")

    def end(self, backup: int) -> None:
        """Let a backup come to its end, or kill it."""
        if self.chance.random() < 0.3:
            os.kill(backup, signal.SIGKILL)
            self.told["kills"].append("backup")
        code = os.waitstatus_to_exitcode(os.waitpid(backup, 0)[1])
        if code not in (0, 3, -signal.SIGKILL):
            raise SystemExit((self.bus.home / "failures").read_text(encoding="utf-8"))

    def read(self) -> None:
        """Read the feed; a number that tells something else than it told before was given out twice."""
        with psycopg.connect(server.start(load())) as connection:
            for seq, publication, row in connection.execute(ROWS).fetchall():
                if self.seen.setdefault(seq, row) != row:
                    self.told["twice"].append([seq, publication])

    def lose(self) -> None:
        """Kill a command and its server in the middle, and lose the state; bring it back."""
        self.bus.do("backup")
        self.round()  # readers see more than the backup has, unless one was taken beside it
        command = self.chance.choice(ROUND)
        pid, beside = self.bus.begin(command), self.bus.begin("backup")
        time.sleep(self.chance.uniform(0, 1))
        postmaster = supervisor.postmaster(self.var / "store")
        victims = [postmaster, *postmaster.children()] if postmaster else []
        for process in (pid, beside):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        lost = datetime.now(UTC)
        self.told["kills"].append(f"everything in {command}")
        shutil.rmtree(self.var)
        newest = BackupFolder(self.place).backups()[-1]
        began = time.monotonic()
        self.bus.do("restore")
        self.bus.do("confirm")
        self.told["times"].append(round(time.monotonic() - began, 1))
        self.told["points"].append(round((lost - moment_of(newest)).total_seconds(), 1))
        self.round()


def main(folder: Path, drills: int, seed: int) -> dict[str, Any]:
    """Lose and bring back a bus so many times; return what happened, and its state beside a bus that lost nothing."""
    drill, calm = Drill(folder, seed), Bus(folder / "calm")
    drill.bus.enter()
    registry.load()  # what it imports and reads is there when the commands are forked
    drill.round()
    for _ in range(drills):
        drill.lose()
    drill.bus.do("backup")
    drill.registers.fill(calm.country)
    for command in ROUND:
        calm.do(command)
    states = {}
    for name, bus in (("restored", drill.bus), ("calm", calm)):
        bus.do(f"tell {bus.home / 'state.json'}")
        states[name] = json.loads((bus.home / "state.json").read_text(encoding="utf-8"))
        bus.do("stop")
    return {**drill.told, **states, "read": len(drill.seen)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
