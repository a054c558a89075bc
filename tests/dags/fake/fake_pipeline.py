"""A pipeline that writes its calls to a file; `FAKE_FAILURES` (JSON: function -> [error class, times]) makes it fail."""

import json
import os
import time
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
    if function == os.environ.get("FAKE_SLEEP") and Path(os.environ["FAKE_JOURNAL"] + ".sleep").exists():
        time.sleep(600)
    kind, times = json.loads(os.environ.get("FAKE_FAILURES", "{}")).get(function, ("", 0))
    if before < times:
        raise getattr(errors, kind)(f"{function} failed") if hasattr(errors, kind) else ValueError(f"bad: {SECRET}")


def begin_sync(dataset, job=None, *, full=False, since=None):
    backfill = ["backfill"] if job and " backfill " in job else []
    _call("begin_sync", dataset, *(["full"] if full else []), *([since] if since else []), *backfill)
    return {"run": f"run-of-{dataset}", "dataset": dataset}


def preview(dataset, *, full=False, since=None):
    _call("preview", dataset)
    return {"dataset": dataset, "source_rows": 12}


def pulled_by_backfill(dataset, jobs, job):
    # As the ledger does, one at a time: runs of a backfill ask at the same moment.
    try:
        Path(f"{os.environ['FAKE_JOURNAL']}.{dataset}.backfill").touch(exist_ok=False)
    except FileExistsError:
        return {"run": f"run-of-{dataset}"}
    return {"run": None}


def unread(entity, *, by_hand=False):
    calls = [call[0] for call in _journal()]
    news = "begin_reconcile" not in calls or "commit_sync" in calls[len(calls) - calls[::-1].index("begin_reconcile") :]
    return {"run": "run" if news and not by_hand else None}


def unsynced(entity):
    return {"datasets": json.loads(os.environ.get("FAKE_UNSYNCED", "[]"))}


def begin_reconcile(entity, job=None, *, full=False, incomplete=False):
    _call("begin_reconcile", entity, *(["full"] if full else []))
    return {"run": "reconcile-1"}


def _decisions():
    return [call[2] for call in _journal() if call[0] == "decide" and call[3] == "approve"]


def waits(run=None, *, entity=None):
    if run is None and not os.environ.get("FAKE_RECONCILED") and not any(call[0] == "diff" for call in _journal()):
        return {"run": None}
    needed = int(os.environ.get("FAKE_APPROVALS", "0"))
    if len(_decisions()) >= needed:
        return {"run": "reconcile-1"}
    limit = {"measure": "changes", "source": "toy", "area": None, "changed": 30, "known": 100, "limit": 0.25}
    shown = {"state": "waiting", "passed": [limit], "counts": {}, "people": _decisions(), "needed": needed}
    return {"run": "reconcile-1", **shown}


def decide(run, person, action, why):
    if person in _decisions():
        raise errors.AccessError("you decided about this run before")
    _call("decide", run, person, action, why)
    return {"run": run, "state": "waiting"}


def may_publish(run):
    return {"run": run, "released": True}


def raise_alert(kind, subject):
    _call("raise_alert", kind, subject)
    alert = {"cause": "ContractError", "kind": kind, "subject": subject, "run": "run-1", "error": "ContractError: odd"}
    return {"alert": {**alert, "times": 1, "runbook": "run-failed"}}


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
