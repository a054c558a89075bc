"""What `make demo` does, step by step, with its progress on the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import simulators
from demo import airflow_home, identity, job, report, standing
from demo.controls import EACH, KINDS, controls
from demo.reviewers import Reviewers
from demo.runner import DagRunResult, Runner
from demo.score import score
from demo.services import Kept, Service
from demo.up import free_port, up
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.quality.scores import by_agency
from motlan.settings import load
from motlan.store import server
from motlan.store.folders import make_private
from motlan.workspace import Workspace, open_workspace
from simulators.world import AGENCIES

ENTITY = "person"
"""The linked entity that is scored."""
SAMPLE = 1000
STATE = ("lake", "payloads", "scratch", "world", "report.json")
"""What a new demo begins without; the installed server and Airflow's own tables stay."""


@dataclass(frozen=True)
class Choice:
    """The world that was asked for."""

    people: int
    seed: int
    days: int
    dirt: str
    var: Path


@dataclass
class _Screen:
    """Progress on the screen, and the seconds of every step for the report."""

    bar: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, what: str, total: int | None = None) -> Iterator[Any]:
        task = self.bar.add_task(what, total=total)
        started = time.perf_counter()
        yield lambda: self.bar.advance(task)
        self.seconds[name] = round(time.perf_counter() - started, 2)
        self.bar.update(task, total=total or 1, completed=total or 1)


def _prepare(root: Path, choice: Choice, *, fresh: bool = True) -> dict[str, str]:
    """Point the bus at a state folder, emptied where `fresh`; return the environment that every Airflow process gets but the
    agencies'.
    """
    for name in ("MOTLAN_DATABASE_URL", "MOTLAN_FEEDS_DATABASE_URL"):
        os.environ.pop(name, None)
    os.environ.update({"MOTLAN_HOME": str(root), "MOTLAN_VAR": str(choice.var)})
    make_private(*load().private)
    if fresh:
        for name in STATE:
            path = choice.var / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    settings = load()
    airflow_database = server.start_with_database(settings, "airflow")
    os.environ["MOTLAN_DATABASE_URL"] = server.fresh_database(settings) if fresh else server.start(settings)
    os.environ["MOTLAN_FEEDS_DATABASE_URL"] = server.feeds_url(settings)
    return airflow_home.prepare(root, choice.var, airflow_database)


def _world(choice: Choice) -> dict[str, Any]:
    world = choice.var / "world"
    counts: dict[str, Any] = simulators.make_world(
        world, people=choice.people, seed=choice.seed, days=choice.days, dirt=choice.dirt
    )
    return counts


def run(root: Path, choice: Choice) -> int:
    """Run the demo; return the exit code: 0 when everything held."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with ExitStack() as stack:
        screen = _Screen(stack.enter_context(Progress(*columns, console=Console(stderr=True))))
        with screen.step("prepare", "database and Airflow"):
            environment = _prepare(root, choice)
            stack.callback(lambda: server.stop(_embedded()))
        # Its imports take longer than the world: it starts first, and is told of the agencies when they are up.
        runner = stack.enter_context(Runner(environment, choice.var / "airflow.log"))
        with screen.step("world", f"a world of {choice.people:,} people"):
            dirt = _world(choice)
        with screen.step("agencies", "four agencies on loopback"):
            agencies = stack.enter_context(simulators.Agencies(choice.var / "world"))
            os.environ.update(agencies.env)
            runner.add_env(agencies.env)
        work = open_workspace()
        told = _demonstrate(screen, work, runner, agencies, choice, dirt)
    report.write(choice.var / "report.json", told)
    report.show(told)
    return 0 if not report.failures(told) else 1


def _embedded() -> Any:
    os.environ.pop("MOTLAN_DATABASE_URL", None)
    return load()


def _demonstrate(
    screen: _Screen,
    work: Workspace,
    runner: Runner,
    agencies: simulators.Agencies,
    choice: Choice,
    dirt: dict[str, Any],
) -> dict[str, Any]:
    dags = len(job.dag_ids(work))

    def whole_job(name: str, what: str) -> list[dict[str, Any]]:
        with screen.step(name, what, total=dags) as advance:

            def told(result: DagRunResult) -> None:
                screen.seconds[f"{name}.{result.dag_id}"] = round(result.seconds, 2)
                advance()

            return job.run(work, runner, told)

    world = choice.var / "world"
    airflow = whole_job("job", "the main job: 5 syncs, reconcile, publish")
    first = job.by_agency(work)
    publications = [identity.published(work, 0)]
    airflow += whole_job("second_run", "the same job again on unchanged sources")
    second = job.newest_runs(work)[ENTITY]["publish"]["changes"]
    publications.append(identity.published(work, 0))
    days, reviewers = [], Reviewers(work, world, choice.days)
    for day in range(1, choice.days + 1):
        with screen.step(f"review_{day}", f"day {day}: people decide pairs"):
            reviewers.sit(day - 1)
        agencies.set_day(day)
        airflow += whole_job(f"day_{day}", f"day {day}: what changed")
        counts = job.by_agency(work)
        days.append({"day": day, "agencies": counts, "changes": job.newest_runs(work)[ENTITY]["publish"]["changes"]})
        publications.append(identity.published(work, day))
    with screen.step("score", "scoring against the truth"):
        scores = score(work, world, choice.days)
        over_days = identity.score(work, world, publications)
    with screen.step(
        "lineage", f"replaying {SAMPLE:,} golden fields, and controls", total=1 + EACH * len(KINDS)
    ) as advance:
        lineage = _lineage(work, choice.seed, advance)
    return report.assemble(
        choice=(choice.people, choice.seed, choice.dirt),
        airflow=airflow,
        agencies=first,
        quality=by_agency(work.store, work.registry),
        scores=scores,
        identity={**over_days, "decisions": dict(reviewers.decided), "histories": dirt["histories"]},
        runs=job.newest_runs(work)[ENTITY],
        corrections=job.corrections(work, ENTITY),
        lineage=lineage,
        second_run_changes=second,
        dirt=dirt,
        days=days,
        seconds=screen.seconds,
    )


def _lineage(work: Workspace, seed: int, advance: Any) -> dict[str, Any]:
    checked = sample(work, ENTITY, SAMPLE, seed)
    verdict = replay(work, gather(work, ENTITY, sorted({person for person, _ in checked})), checked)
    advance()
    caught = []
    for _, noticed in controls(work, ENTITY, checked, seed):
        caught.append(noticed)
        advance()
    return {
        "fields_checked": verdict.checked,
        "fields_replayed_equal": verdict.equal,
        "reasons": verdict.reasons,
        "controls_tried": len(caught),
        "controls_caught": sum(caught),
    }


def _settings_file(var: Path, agencies: Mapping[str, str]) -> Path:
    """Write what a shell must export to use this bus; for its owner's eyes, because it holds the credentials."""
    path = var / "env.sh"
    path.touch(mode=0o600)
    names = ("MOTLAN_HOME", "MOTLAN_VAR", "MOTLAN_DATABASE_URL", "MOTLAN_FEEDS_DATABASE_URL")
    settings = {**{name: os.environ[name] for name in names}, **agencies}
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()))
    return path


def leave_running(root: Path, asked: standing.Asked, var: Path, *, fresh: bool) -> int:
    """Leave the world running with a real scheduler, until Ctrl-C or repeated deaths; return the exit code.

    Args:
        root: The checkout.
        asked: The world that was asked for; what was not asked is as the world is that is there.
        var: The state folder. A world in it goes on, with its store and Airflow's history.
        fresh: Whether a new world takes its place, which loses what it holds.

    Raises:
        ConfigurationError: Another world is there than was asked for, or it runs already.
    """
    console = Console(stderr=True)
    with standing.only_one(var):
        people, seed, dirt, goes_on = standing.choose(var, asked, fresh=fresh)
        choice = Choice(people, seed, 7, dirt, var)
        if goes_on:
            console.print(
                f"Going on with the world of {people:,} people, seed {seed}, in {var}; `make up FRESH=1` makes a new one.",
                highlight=False,
                soft_wrap=True,
            )
        elif lost := standing.what_goes(var, STATE):
            console.print("A new world takes the place of the one that is there. Removed are:")
            for line in lost:
                console.print(f"  {line}", highlight=False, soft_wrap=True)
        with console.status("preparing the database and Airflow"):
            environment = _prepare(root, choice, fresh=not goes_on)
        try:
            if not goes_on:
                with console.status(f"making a world of {choice.people:,} people"):
                    _world(choice)
            return _serve(console, choice, environment)
        finally:
            server.stop(_embedded())


def _server(name: str, words: list[str], port: int, page: str) -> Service:
    """Return one of the bus's servers, on a loopback port that is free."""
    port = free_port(port)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "motlan", *words, "--port", str(port)]
    return Service(name, command, f"{address}/health", f"{address}{page}")


def _serve(console: Console, choice: Choice, environment: dict[str, str]) -> int:
    with simulators.Agencies(choice.var / "world") as agencies:
        os.environ.update(agencies.env)
        standing.add_people(open_workspace())
        for name, value in agencies.env.items():
            if name.endswith("_URL"):
                console.print(f"{name} {value}", highlight=False, soft_wrap=True)
        console.print(f"For the command line, in another terminal:  . {_settings_file(choice.var, agencies.env)}")
        services = [
            _server("feeds", ["serve"], 8900, "/docs"),
            _server("metrics", ["metrics", "serve"], 8901, "/console"),
        ]
        pages = [str(service.address).rpartition("/")[0] for service in services]
        environment |= {"MOTLAN_FEEDS_URL": pages[0], "MOTLAN_CONSOLE_URL": pages[1]}
        settings = replace(load(), database_url=None)
        others: list[Kept] = [standing.Database(settings), *(standing.Agency(agencies, name) for name in AGENCIES)]
        return up({**environment, **agencies.env}, services, others=others)
