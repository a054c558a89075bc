"""Pictures of Airflow and of the bus's pages, of a world with something to look at, by a real browser.

`make screenshots` runs it: it needs Debian's chromium, and `playwright` of the extra `screenshots`. A day of changes is held back
there by a limit that was made small, so that a required action is among the pages.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from demo.airflow_home import login
from demo.up import AirflowApi
from motlan.errors import ConfigurationError, MotlanError
from simulators.agencies import set_day

ROOT = Path(__file__).resolve().parent.parent
PEOPLE, WIDTH, HEIGHT = 1000, 1440, 900
DATASETS = ("population_citizens", "insurance_members", "tax_taxpayers", "education_pupils", "education_staff")
UP = "import sys; from pathlib import Path; from demo.main import leave_running; from demo.standing import Asked; "
UP += "sys.exit(leave_running(Path(sys.argv[1]), Asked({people}, 7, None), Path(sys.argv[2]), fresh=True))"


class World:
    """A world that runs, with an Airflow.

    Attributes:
        api: Airflow's API.
        pages: Addresses by the name of their server.
    """

    def __init__(self, folder: Path) -> None:
        self._screen, self._var = folder / "screen", folder / "var"
        home = folder / "declared"
        for name in ("adapters", "schemas", "mapping", "dags", "plugins"):
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        limits = "person: {approvals: 2, minimum: 1, changes: 0.0001}\n"
        (home / "mapping" / "breakers.yaml").write_text(limits, encoding="utf-8")
        command = [sys.executable, "-c", UP.format(people=PEOPLE), str(home), str(self._var)]
        with self._screen.open("w") as sink:
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink, cwd=ROOT, start_new_session=True)
        text = self.wait_for("publish_person", "success")
        self.until(self._is_published)  # a schedule that missed a tick runs before there is anything to publish
        self.pages = dict(re.findall(r"^ +([a-z-]+) +(http://\S+)$", text, re.MULTILINE))
        environ = {"AIRFLOW_HOME": str(self._var / "airflow")}
        self.api = AirflowApi(self.pages["airflow-api-server"], login(environ))

    def _is_published(self) -> bool:
        with psycopg.connect(self._setting("MOTLAN_DATABASE_URL")) as connection:
            return (
                connection.execute("select 1 from publications where projected_at is not null").fetchone() is not None
            )

    def _setting(self, name: str) -> str:
        words = shlex.split((self._var / "env.sh").read_text(encoding="utf-8"))
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def wait_for(self, *words: str) -> str:
        """Wait for a line with some words, for as long as the world runs; return all that was printed."""
        while True:
            text = self._screen.read_text(encoding="utf-8")
            if any(all(word in line for word in words) for line in text.splitlines()):
                return text
            if self.process.poll() is not None:
                raise MotlanError("the world ended", where="make screenshots", next_step=f"it said: {text[-500:]}")
            time.sleep(0.5)

    def until(self, find: Any) -> Any:
        """Ask until there is an answer."""
        while not (found := find()):
            time.sleep(1)
        return found

    def change(self) -> dict[str, Any]:
        """Let a day pass; return the publication that is held back for it, as Airflow asks people about it."""
        set_day(self._var / "world", 1, self._setting("MOTLAN_EDUCATION_URL"))
        self.sync()
        asked: dict[str, Any] = self.until(self._asked)
        return asked

    def sync(self) -> None:
        """Start a sync of every dataset."""
        for dataset in DATASETS:
            self.api.call("POST", f"/dags/sync_{dataset}/dagRuns", json={"logical_date": None})

    def _asked(self) -> dict[str, Any] | None:
        found = self.api.call("GET", "/dags/~/dagRuns/~/hitlDetails", params={"response_received": False})
        return next(iter(found["hitl_details"]), None)

    def newest(self, dag_id: str) -> str:
        """Return the newest DAG run of a DAG that succeeded."""
        found = self.api.call(
            "GET", f"/dags/{dag_id}/dagRuns", params={"state": "success", "order_by": "-id", "limit": 1}
        )
        return str(found["dag_runs"][0]["dag_run_id"])

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def _world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="motlan-screenshots-"))
    folder.chmod(0o755)
    world = World(folder)
    try:
        yield world
    finally:
        world.stop()
        shutil.rmtree(folder, ignore_errors=True)


def take(target: Path) -> list[Path]:
    """Take all pictures.

    Args:
        target: The folder that they go to.

    Returns:
        The files.

    Raises:
        ConfigurationError: There is no browser.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise ConfigurationError(
            "there is no chromium", where="make screenshots", next_step="install Debian's package chromium."
        )
    from playwright.sync_api import sync_playwright

    target.mkdir(parents=True, exist_ok=True)
    with _world() as world, sync_playwright() as playwright:
        asked = world.change()
        name, password = world.api.login
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = chromium.new_context(
            viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="Asia/Ho_Chi_Minh", locale="vi-VN"
        )
        page = context.new_page()
        start = world.pages["airflow-api-server"]
        page.goto(f"{start}/auth/login")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_url(f"{start}/**")
        files = [
            _picture(page, address, target / f"{name}.png") for name, address in _addresses(world, start, asked).items()
        ]
        world.sync()  # a deadline is shown while its run is under way
        files.append(_picture(page, f"{start}/deadlines", target / "airflow-deadlines.png"))
        chromium.close()
    return files


def _picture(page: Any, address: str, file: Path) -> Path:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.screenshot(path=str(file))
    return file


def _addresses(world: World, start: str, asked: dict[str, Any]) -> dict[str, str]:
    """Return the pages that a picture is taken of, by the pictures' names."""
    sync, reconcile = world.newest("sync_tax_taxpayers"), world.newest("reconcile_person")
    at = asked["task_instance"]
    console = world.pages["metrics"].rpartition("/")[0]
    runs = world.api.call(
        "GET", f"/dags/reconcile_person/dagRuns/{reconcile}/taskInstances/begin/xcomEntries/return_value"
    )
    run = json.loads(runs["value"]) if runs["value"].startswith('"') else runs["value"]
    return {
        "airflow-dags": f"{start}/dags",
        "airflow-run": f"{start}/dags/reconcile_person/runs/{reconcile}",
        "airflow-log": f"{start}/dags/sync_tax_taxpayers/runs/{sync}/tasks/land",
        "airflow-task-details": f"{start}/dags/sync_tax_taxpayers/runs/{sync}/tasks/land/details",
        "airflow-dag": f"{start}/dags/sync_tax_taxpayers",
        "airflow-required-action": f"{start}/dags/{at['dag_id']}/runs/{at['dag_run_id']}/tasks/ask/required_actions",
        "console-runs": f"{console}/console",
        "console-run": f"{console}/console/runs/{run}",
        "console-quality": f"{console}/console/runs/{run}/quality",
    }


if __name__ == "__main__":
    for file in take(ROOT / "docs" / "screenshots"):
        print(file.relative_to(ROOT))  # noqa: T201 - what was made
