"""What a check of the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["broken", "warning"]
PAGE = "docs/operations.md"
"""The runbook; each finding names a part of it."""


@dataclass(frozen=True)
class Finding:
    """Something that is broken, or worth knowing.

    Attributes:
        id: What kind of thing it is, for machines.
        severity: `broken`, or `warning`.
        what: In a sentence, without any personal value.
        next: What to do, a command where there is one.
        page: The part of the runbook.
    """

    id: str
    severity: Severity
    what: str
    next: str
    page: str = "run-failed"
