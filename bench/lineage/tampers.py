"""Silent changes of everything that is stored, one after the other: each must be found and located, and nothing else be told of.

Each change is made as somebody would who has the machine: to a file's bytes, or as the owner of the database. It is undone before
the next one. What the check may rely on is a public key and a checkpoint that were kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import sqlalchemy as sa

from bench.lineage.file_tampers import make_file_tampers
from bench.lineage.store_tampers import make_store_tampers
from bench.lineage.tamper import Tamper
from motlan.feeds import keys
from motlan.ledger import accesses
from motlan.proof import checkpoints, verify
from motlan.proof.findings import Finding
from motlan.proof.log_check import Pins
from motlan.publication import hold
from motlan.store.session import sqlalchemy_url
from motlan.workspace import Workspace


@dataclass
class Tried:
    """What came of the tries.

    Attributes:
        tried: How many changes were made.
        missed: Those that were not found, or not where they were made.
        alarms: What was told of though nothing was changed.
    """

    tried: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


def try_all(work: Workspace, admin: str, tell: Callable[[str, int, int], None] = lambda *_: None) -> Tried:
    """Make each change, check everything, and undo it.

    Args:
        work: A finished installation; it is as it was afterwards.
        admin: URL of its database for the server's administrator, whom nothing in the database stops.
        tell: Is given the change's name, how many were tried, and how many there are.
    """
    _decide_something(work)
    kept = checkpoints.sign(work.store, work.settings)
    pins = Pins(checkpoints.key_of(work.settings).public, [kept])
    found = Tried()
    found.alarms += [f"before: {one.store} {one.place} {one.what}" for one in verify.verify(work, pins)]
    engine = sa.create_engine(sqlalchemy_url(admin), poolclass=sa.NullPool)
    as_admin = replace(work, store=replace(work.store, engine=engine))
    changes = [*make_file_tampers(as_admin), *make_store_tampers(as_admin)]
    for number, tamper in enumerate(changes):
        tell(tamper.name, number, len(changes))
        undo = tamper.act()
        try:
            told = list(verify.verify(work, pins))
        finally:
            undo()
        found.tried += 1
        if not any(map(partial(_is_located, tamper), told)):
            found.missed.append(f"{tamper.name}: {[(one.store, one.place, one.row) for one in told][:5]}")
        left = list(verify.verify(work, pins)) if number % 10 == 9 or tamper is changes[-1] else []
        found.alarms += [f"after {tamper.name}: {one.store} {one.place} {one.what}" for one in left]
    return found


def _decide_something(work: Workspace) -> None:
    """Leave rows of what people decide and do: a key of an agency, a hold that ended, and looks."""
    keys.issue(work.store, next(iter(work.registry.agencies)))
    hold.begin(work.store, "publish", "uid:0", "for the tries")
    hold.end(work.store, "publish", "uid:0", "for the tries")
    for _ in range(2):
        accesses.record(work.store, "uid:0", "lineage.read", "00000000-0000-0000-0000-000000000000")


def _is_located(tamper: Tamper, one: Finding) -> bool:
    return one.store == tamper.store and tamper.place in one.place and tamper.row in one.row
