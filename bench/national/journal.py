"""What a benchmark did so far, step by step, in its work folder: a run that was killed goes on with it.

One JSON object a line, appended when a step ends. The step that goes on now is written to a file of its own every two seconds;
what a killed run left there is counted with the others when the next one begins.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STEPS = "steps.jsonl"
NOW = "now.json"
LAST = "score"
"""The phase after which all is done."""


@dataclass
class Entry:
    """One try of one step on one subject.

    Attributes:
        phase: `world`, `floor`, `pipeline`, `splink`, `pydantic` or `score`.
        step: Its name.
        subject: What of, such as a dataset and a range; empty for all.
        rows: Rows that it handles.
        seconds: Wall time.
        cpu_s: Time of processors, of the process alone.
        peak_rss_mb: Greatest resident memory of the process tree, in MiB.
        store_peak_mb: Greatest memory of PostgreSQL's processes, shared pages counted once, in MiB.
        read_mb: What it asked to read, from disk or cache, in MiB.
        written_mb: What it asked to write, in MiB.
        spill_mb: Greatest size of the engine's temporary files, in MiB.
        finished: False where it was killed or failed.
    """

    phase: str
    step: str
    subject: str = ""
    rows: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0
    store_peak_mb: float = 0.0
    read_mb: float = 0.0
    written_mb: float = 0.0
    spill_mb: float = 0.0
    finished: bool = False


class Journal:
    """The entries of a work folder, kept across runs.

    Args:
        folder: The work folder.

    Attributes:
        entries: All of them, oldest first.
        resumed: How often a run went on after an earlier one.
        results: What each phase gave that is done.
    """

    def __init__(self, folder: Path) -> None:
        self._steps, self._now = folder / STEPS, folder / NOW
        lines = self._steps.read_text(encoding="utf-8").splitlines() if self._steps.exists() else []
        begun = bool(lines) or self._now.exists()
        self.entries: list[Entry] = []
        self.resumed = 0
        self.results: dict[str, Any] = {}
        for line in lines:
            self._take(json.loads(line))
        if self._now.exists():
            self.add(Entry(**json.loads(self._now.read_text(encoding="utf-8"))))
        if begun and LAST not in self.results:
            self._write({"resumed": True})

    def _take(self, line: dict[str, Any]) -> None:
        if "resumed" in line:
            self.resumed += 1
        elif "result" in line:
            self.results[line["phase"]] = line["result"]
        else:
            self.entries.append(Entry(**line))

    def _write(self, line: dict[str, Any]) -> None:
        with self._steps.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._take(line)

    def add(self, entry: Entry) -> None:
        """Write down a step that ended, or a try of it."""
        self._write(asdict(entry))
        self._now.unlink(missing_ok=True)

    def keep(self, phase: str, result: Any) -> None:
        """Write down that a phase is done, and what it gave."""
        self._write({"phase": phase, "result": result})

    def beat(self, entry: Entry) -> None:
        """Write down how far the step that goes on now has come."""
        draft = self._now.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(entry)), encoding="utf-8")
        draft.rename(self._now)

    def of(self, phase: str, step: str | None = None) -> list[Entry]:
        """Return the entries of a phase, or of one of its steps."""
        return [entry for entry in self.entries if entry.phase == phase and step in (None, entry.step)]
