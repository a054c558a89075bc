"""The declared half with some of its files replaced by others, for a trial of changed rules: nothing of it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from motlan.config import registry as declared
from motlan.config.registry import Registry
from motlan.errors import ConfigurationError

RULES = ("authority", "matching", "quality")
"""Files of `mapping/` that a trial can replace, beside those of the agencies."""


def name_files(registry: Registry, given: Mapping[str, Path | None], mappings: Sequence[Path]) -> dict[str, Path]:
    """Return which file of `mapping/` each given file is tried in the place of: its name -> the given one.

    Args:
        registry: What is declared.
        given: Of each of `RULES` the file to try, None where it stays.
        mappings: Agencies' mappings; each is called as the one that it is tried in the place of.

    Raises:
        ConfigurationError: A file is missing, or is called like no agency; or none is given.
    """
    found = {f"{name}.yaml": path for name, path in given.items() if path is not None}
    for path in mappings:
        if path.stem not in registry.agencies:
            raise ConfigurationError(
                "a changed mapping is called as the agency's",
                where=str(path),
                next_step=f"call it one of {', '.join(f'{agency}.yaml' for agency in registry.agencies)}.",
            )
        found[f"{path.stem}.yaml"] = path
    if not found:
        raise ConfigurationError(
            "nothing is changed", next_step="give --mapping, --authority, --matching or --quality."
        )
    for path in found.values():
        if not path.is_file():
            raise ConfigurationError("there is no such file", where=str(path), next_step="check its name.")
    return found


def digests_of(replaced: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of each file that is tried, in hex, by the name of what it takes the place of."""
    return {f"mapping/{name}": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(replaced.items())}


def load_replaced(home: Path, replaced: Mapping[str, Path], folder: Path) -> Registry:
    """Read and check the declared half with some files replaced.

    Args:
        home: The folder of the declared half.
        replaced: Name in `mapping/` -> the file to read in its place.
        folder: An empty folder, which shows the declared half by links.

    Raises:
        ConfigurationError: A file is wrong; the message names the given one.
    """
    mapping = folder / "mapping"
    mapping.mkdir(parents=True)
    for path in home.iterdir():
        if path.name != "mapping":
            (folder / path.name).symlink_to(path.resolve())
    for path in (home / "mapping").iterdir():
        (mapping / path.name).symlink_to(replaced.get(path.name, path).resolve())
    for name, path in replaced.items():
        if not (mapping / name).is_symlink():
            (mapping / name).symlink_to(path.resolve())
    try:
        return declared.load_beside(folder)
    except ConfigurationError as error:
        where = error.where
        for name, path in replaced.items():
            if where.startswith(shown := f"mapping/{name}"):
                where = f"{path}{where.removeprefix(shown)}"
        raise ConfigurationError(error.what, where=where, next_step=error.next_step) from None
