"""Reach agencies, and say of each dataset what is wrong and how to mend it. Nothing is landed, and no watermark moves.

What is told are names, counts and times; no value of any record.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from motlan.adapter import Adapter, SourceCount
from motlan.config.registry import Dataset, Registry
from motlan.errors import AccessError, ConfigurationError, ContractError, MotlanError, TransientError, unforeseen
from motlan.ingest import drift
from motlan.ingest.deletions import Held
from motlan.ingest.raw_columns import received, stored
from motlan.workspace import Workspace

ATTEMPTS, ANSWER_S, PAGE_ROWS = 2, 30.0, 500
"""How often and how long a question is tried, and the rows of the page that is looked at: a check is quick, or says so."""
Credential = Literal["accepted", "refused", "missing", "none needed", "unknown"]


@dataclass(frozen=True)
class Finding:
    """Something about a dataset.

    Attributes:
        what: In a sentence.
        mend: What to do about it.
        wrong: Whether it is wrong, and not just worth knowing.
    """

    what: str
    mend: str
    wrong: bool = True


@dataclass
class Checked:
    """What a check of one dataset found; None where it was not come to.

    Attributes:
        agency: The agency.
        dataset: The dataset.
        reachable: Whether the source answered.
        credential: What became of the credential.
        clock_difference: Seconds that the source's moment lies before ours; negative where it is behind.
        schema: `added`, `missing` and `retyped` columns of the first page.
        source_total: Records that the source counts.
        held: Records that are held here.
        findings: What is wrong, or worth knowing.
        seconds: How long it took.
    """

    agency: str
    dataset: str
    reachable: bool | None = None
    credential: Credential = "unknown"
    clock_difference: float | None = None
    schema: dict[str, Any] | None = None
    source_total: int | None = None
    held: int | None = None
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether anything is wrong."""
        return any(finding.wrong for finding in self.findings)

    def add(self, what: str, mend: str, *, wrong: bool = True) -> None:
        """Add a finding."""
        self.findings.append(Finding(what, mend, wrong))

    def counts(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "wrong": self.wrong}


def chosen(registry: Registry, names: Sequence[str]) -> list[Dataset]:
    """Return the datasets of some agencies, or of those names; all where none is given.

    Raises:
        ConfigurationError: There is no agency and no dataset of a name.
    """
    if unknown := [name for name in names if name not in registry.agencies and name not in registry.datasets]:
        raise ConfigurationError(
            f"there is no agency {unknown[0]}", next_step=f"use {', '.join((*registry.agencies, *registry.datasets))}."
        )
    return [one for one in registry.datasets.values() if not names or one.agency in names or one.name in names]


def check(work: Workspace, datasets: Sequence[Dataset]) -> Iterator[Checked]:
    """Check datasets one after the other. What is wrong with one takes no other's place.

    Args:
        work: The open installation.
        datasets: Which, such as `chosen` gives them.
    """
    for dataset in datasets:
        yield _check(work, dataset)


def _check(work: Workspace, dataset: Dataset) -> Checked:
    found, began = Checked(dataset.agency, dataset.name), time.monotonic()
    try:
        adapter = _quick(dataset).open()
        found.credential = "unknown" if dataset.credential else "none needed"
        _reach(found, adapter)
        _compare_counts(found, work, dataset, adapter.count(None))
        if dataset.cursor_kind != "token":  # whole drops: the first one is the oldest, and says nothing of the next
            _compare_columns(found, work, dataset, adapter)
    except MotlanError as error:
        _refused(found, dataset, error)
    except Exception as error:  # noqa: BLE001 - a library's text may quote a value, and other datasets are checked still
        _refused(found, dataset, unforeseen(error, dataset.name))
    found.seconds = round(time.monotonic() - began, 2)
    return found


def _quick(dataset: Dataset) -> Dataset:
    """Return a dataset that is asked in less patience, and for a small page."""
    pace = {**dataset.pace, "attempts": ATTEMPTS}
    for name, most in (("answer_timeout", ANSWER_S), ("read_timeout", ANSWER_S), ("connect_timeout", ANSWER_S)):
        pace[name] = min(dataset.pace.get(name, most), most)
    return dataset.model_copy(update={"pace": pace, "page_rows": min(dataset.page_rows, PAGE_ROWS)})


def _reach(found: Checked, adapter: Adapter) -> None:
    adapter.check()
    found.reachable = True
    found.credential = "accepted" if found.credential == "unknown" else found.credential


def _refused(found: Checked, dataset: Dataset, error: MotlanError) -> None:
    """Take what a source or our own half refused into the findings."""
    mend = error.next_step or "run it again."
    if isinstance(error, ConfigurationError) and not found.reachable:
        if dataset.credential and error.where == f"MOTLAN_CREDENTIAL_{dataset.credential}":
            found.credential = "missing"
    elif isinstance(error, AccessError):
        found.reachable, found.credential = True, "refused"
        variable = f"MOTLAN_CREDENTIAL_{dataset.credential}"
        mend = f"ask {dataset.owner} for a credential that holds, and set {variable}."
    elif isinstance(error, TransientError):
        found.reachable = bool(found.reachable)
        mend = f"check the line to {_place(dataset)}; if it stays so, ask {dataset.owner}."
    elif isinstance(error, ContractError):
        found.reachable = True
        mend = f"ask {dataset.owner}: {mend}"
    told = f"{error.where}: {error.what}" if error.where else error.what
    found.add(told, mend)


def _place(dataset: Dataset) -> str:
    """Return where a dataset's address is declared."""
    return f"{dataset.agency}.endpoint of adapters/agencies.yaml"


def _compare_counts(found: Checked, work: Workspace, dataset: Dataset, count: SourceCount) -> None:
    found.source_total = count.total
    try:
        moment = datetime.fromisoformat(count.as_of)
        ahead = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
        found.clock_difference = round(ahead.total_seconds(), 1)
    except ValueError:
        found.add("its own moment is none in ISO 8601", f"ask {dataset.owner} to send as_of in UTC.")
    _compare_clocks(found, dataset)
    with work.engine(f"counting {dataset.name}") as engine:
        found.held = Held.of(work, engine, dataset).count()
    if found.held < count.total and not count.of_lines:
        what = f"it has {count.total - found.held:,} records more than are held"
        found.add(what, f"`motlan sync {dataset.name}` pulls them.", wrong=False)
    elif found.held > count.total and dataset.absent == "ended":
        what = f"{found.held - count.total:,} records more are held than it has"
        found.add(what, f"`motlan compare {dataset.name}` counts what differs; a sync finds what is gone.", wrong=False)


def _compare_clocks(found: Checked, dataset: Dataset) -> None:
    ahead, allowed = found.clock_difference, dataset.clock_difference
    if ahead is None or abs(ahead) <= allowed:
        return
    if ahead > 0:
        found.add(
            f"its clock is {ahead:,.0f} s before ours, {allowed} s are allowed: newer records move no watermark",
            f"ask {dataset.owner} to set it, or raise clock_difference in adapters/agencies.yaml; check ours by `date -u`.",
        )
    elif dataset.cursor_kind != "token":  # a drop's moment is that of its making
        found.add(
            f"its own moment is {-ahead:,.0f} s behind ours",
            f"ask {dataset.owner} whether it answers from a copy that is behind.",
            wrong=False,
        )


def _compare_columns(found: Checked, work: Workspace, dataset: Dataset, adapter: Adapter) -> None:
    pages = adapter.pull(None)
    try:
        page = next(pages, None)
    finally:
        if end := getattr(pages, "close", None):  # of a generator, which has the line open
            end()
    if page is None:
        found.schema = {"added": [], "missing": [], "retyped": {}}
        return
    rows, sent = received(page.rows)
    if unsent := [name for name in (dataset.key, dataset.cursor, dataset.moment) if stored(name) not in sent]:
        found.add(f"it sends no column {unsent[0]}", f"ask {dataset.owner}: nothing can be landed without it.")
    before = drift.profile_before(work.store, dataset)
    _, changed = drift.look(dataset, rows, sent, before)
    told = changed.counts()
    found.schema = {name: told[name] for name in ("added", "missing", "retyped")}
    if changed:
        strict = dataset.contract != "evolve"
        what = f"its columns differ from what is declared: {drift.described(told)}"
        mend = f"ask {dataset.owner}; then declare them in adapters/agencies.yaml and map them in mapping/{dataset.agency}.yaml."
        found.add(what, mend, wrong=bool(changed.missing or changed.retyped or strict))


def listed(work: Workspace, held: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is declared of each dataset: whose, by whom, when, with which promise, and whether its agency is held.

    Args:
        work: The open installation.
        held: The agencies that are held.
    """
    return [
        {
            "agency": dataset.agency,
            "dataset": dataset.name,
            "title": dataset.title.model_dump(),
            "owner": dataset.owner,
            "schedule": dataset.schedule,
            "freshness": dataset.freshness,
            "contract": dataset.contract,
            "credential": f"MOTLAN_CREDENTIAL_{dataset.credential}" if dataset.credential else None,
            "held": dataset.agency in held,
        }
        for dataset in work.registry.datasets.values()
    ]
