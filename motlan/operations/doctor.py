"""What is broken, whether anything wrong was published, and what to do next. Nothing is changed, and no server is started.

Each check looks at one thing and gives findings. A check that cannot be done is a finding itself, and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ParamSpec

from motlan.config import registry as declared
from motlan.config.registry import Registry
from motlan.errors import ConfigurationError, MotlanError, unforeseen
from motlan.operations import installation_checks as installation
from motlan.operations import state_checks as state
from motlan.operations.findings import PAGE, Finding, Severity
from motlan.settings import Settings
from motlan.store import Store
from motlan.store.session import lost, open_as_it_is
from motlan.workspace import Workspace

P = ParamSpec("P")


@dataclass(frozen=True)
class Diagnosis:
    """What the checks found.

    Attributes:
        findings: What is broken or worth knowing, the worst first.
        published: Whether what was published is sound: True where the log and the lake have all of it, False where they do not,
            None where it could not be looked at.
        said: The same in a sentence.
    """

    findings: list[Finding]
    published: bool | None
    said: str

    @property
    def broken(self) -> bool:
        """Whether anything is broken."""
        return any(finding.severity == "broken" for finding in self.findings)

    def counts(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        found = [{**asdict(finding), "page": f"{PAGE}#{finding.page}"} for finding in self.findings]
        return {"broken": self.broken, "published_sound": self.published, "published": self.said, "findings": found}


def diagnose(settings: Settings) -> Diagnosis:
    """Look at everything."""
    registry, findings = _declared(settings)
    for check in (installation.disk, installation.memory, installation.permissions):
        findings += _looked_at(check, settings)
    if registry:
        findings += _looked_at(installation.credentials, registry)
    store, of_store = _store(settings)
    findings += of_store
    published: bool | None = None
    said = "whether anything wrong was published cannot be told: the store cannot be read"
    if store:
        wrong = _looked_at(state.published, settings, store)
        published, said = _judge(wrong, store)
        findings += wrong
        for check_store in (
            state.runs_that_stopped,
            state.unprojected,
            state.unsigned,
            state.approvals,
            state.holds,
            state.keys,
        ):
            findings += _looked_at(check_store, store)
    if store and registry:
        work = Workspace(settings, registry, store, state.lake_of(settings, store))
        findings += _looked_at(state.stale, work)
    order: dict[Severity, int] = {"broken": 0, "warning": 1}
    return Diagnosis(sorted(findings, key=lambda finding: order[finding.severity]), published, said)


def _looked_at(check: Callable[P, Iterator[Finding]], *args: P.args, **kwargs: P.kwargs) -> list[Finding]:
    """Return what a check finds, or that it could not be done."""
    name = check.__name__
    try:
        return list(check(*args, **kwargs))
    except MotlanError as error:
        found = error
    except Exception as error:  # noqa: BLE001 - a library's text may quote a value; the other checks are done still
        found = lost(error) or unforeseen(error, name)
    return [
        Finding(
            "check-failed", "broken", f"the check of {name.replace('_', ' ')} failed: {found.what}", found.next_step
        )
    ]


def _declared(settings: Settings) -> tuple[Registry | None, list[Finding]]:
    """Read the declared half, and find each place that is wrong."""
    try:
        _, wrong = declared.load_each(settings.home)
        registry = None if wrong else declared.load(settings.home)
    except ConfigurationError as error:
        return None, [_of_declared(error)]
    except Exception as error:  # noqa: BLE001 - such as a mistake in a declared Python file
        return None, [_of_declared(unforeseen(error, str(settings.home)))]
    return registry, [_of_declared(error) for error in wrong.values()]


def _of_declared(error: MotlanError) -> Finding:
    where = f"{error.where}: " if error.where else ""
    return Finding(
        "declared", "broken", f"what is declared cannot be used: {where}{error.what}", error.next_step, "bad-release"
    )


def _store(settings: Settings) -> tuple[Store | None, list[Finding]]:
    """Connect to the store as it is; None where it cannot be read."""
    try:
        store = open_as_it_is(settings)
        found = list(state.migrations(store))
    except MotlanError as error:
        return None, [Finding("store-down", "broken", error.what, error.next_step, "store-down")]
    except Exception as error:  # noqa: BLE001 - the driver's text may quote an address
        down = lost(error) or unforeseen(error, "store")
        return None, [Finding("store-down", "broken", down.what, down.next_step, "store-down")]
    return (None if found else store), found


def _judge(wrong: list[Finding], store: Store) -> tuple[bool | None, str]:
    """Say whether anything wrong was published."""
    if any(finding.id == "check-failed" for finding in wrong):
        return None, "whether anything wrong was published cannot be told"
    if wrong:
        return False, "what was published is not sound: see the findings before anything else"
    number = state.last_publication(store)
    if not number:
        return True, "nothing was published yet"
    return True, f"nothing wrong was published: the log holds, and publication {number} and all before it are whole"
