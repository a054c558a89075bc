"""A pipeline that writes its calls to a file; `FAKE_FAILURES` (JSON: function -> [error class, times]) makes it fail."""

import json
import os
from pathlib import Path

from motlan import errors

SECRET = "Nguyễn Văn A 001099000001"


def _journal() -> list[list[str]]:
    path = Path(os.environ["FAKE_JOURNAL"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _call(function: str, *arguments: object) -> None:
    before = sum(1 for call in _journal() if call[0] == function)
    with Path(os.environ["FAKE_JOURNAL"]).open("a") as file:
        file.write(json.dumps([function, *map(str, arguments)]) + "\n")
    kind, times = json.loads(os.environ.get("FAKE_FAILURES", "{}")).get(function, ("", 0))
    if before < times:
        raise getattr(errors, kind)(f"{function} failed") if hasattr(errors, kind) else ValueError(f"bad: {SECRET}")


def begin_sync(dataset, job=None):
    _call("begin_sync", dataset)
    return {"run": f"run-of-{dataset}", "dataset": dataset}


def begin_reconcile(entity, job=None, *, full=False):
    _call("begin_reconcile", entity, *(["full"] if full else []))
    return {"run": "reconcile-1"}


def publish(run=None, *, entity=None):
    _call("publish", run)
    return {"run": "reconcile-1", "changes": 3}


def fail(run, error):
    _call("fail", run, type(error).__name__, error)


def _step(function):
    def call(run):
        _call(function, run)
        return {"run": run, "rows": 7}

    return call


land, clean, commit_sync = _step("land"), _step("clean"), _step("commit_sync")
link, merge, cross_check, diff, project = map(_step, ("link", "merge", "cross_check", "diff", "project"))
