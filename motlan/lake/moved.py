"""A lake that was restored to another folder: its metadata name every file by the path that it had.

Iceberg's metadata hold whole paths. They are not rewritten: a small file beside the tables says where the lake lay before, and
files of these folders are read and written in the one where the lake lies now. Other readers of Iceberg do not know that file:
for them restore to the same path.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pyiceberg.io import InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

FILE = "moved.json"
"""Name of the file in the lake's folder: a JSON list of the folders where the lake lay before."""
_NOW, _BEFORE = "motlan.root", "motlan.roots-before"


@dataclass(frozen=True)
class Moved:
    """Where a lake lies, and where it lay before.

    Attributes:
        root: The folder now.
        before: Earlier folders.
    """

    root: str
    before: tuple[str, ...] = ()

    @classmethod
    def read(cls, root: Path) -> Moved:
        """Read it from a lake's folder."""
        path = root / FILE
        return cls(str(root), tuple(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ())

    def path(self, path: str) -> str:
        """Return where a file lies now, by the path or the address that metadata name."""
        for before in self.before:
            for start in (before, f"file://{before}", f"file://{quote(before)}"):
                if path.startswith(f"{start}/"):
                    return self.root + path[len(start) :]
        return path

    def properties(self) -> dict[str, str]:
        """Return the properties of a catalog that reads and writes where the lake lies now."""
        if not self.before:
            return {}
        implementation = f"{MovedFileIO.__module__}.{MovedFileIO.__qualname__}"
        return {"py-io-impl": implementation, _NOW: self.root, _BEFORE: json.dumps(self.before)}


class MovedFileIO(PyArrowFileIO):
    """Reads and writes the files of a lake where they lie now."""

    def _path(self, location: str) -> str:
        return Moved(self.properties[_NOW], tuple(json.loads(self.properties[_BEFORE]))).path(location)

    def new_input(self, location: str) -> PyArrowFile:
        """Return a file to read."""
        return super().new_input(self._path(location))

    def new_output(self, location: str) -> PyArrowFile:
        """Return a file to write."""
        return super().new_output(self._path(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file."""
        named = location if isinstance(location, str) else location.location
        super().delete(self._path(named))
