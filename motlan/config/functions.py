"""Finds the functions that the declared half has of its own, and installs them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from motlan.errors import ConfigurationError
from motlan.expressions import Package, install

FOLDER = Path("mapping") / "functions"


def install_functions(home: Path) -> None:
    """Make the generic functions, and those of `mapping/functions/*.py` where a declared half has them, the process's catalogue.

    Each module with a `PACKAGE` brings its functions. A process works for one declared half: its modules are loaded once.

    Args:
        home: The folder of the declared half.

    Raises:
        ConfigurationError: A module's `PACKAGE` is none, or two functions have one name.
    """
    modules = sorted(path.stem for path in (home / FOLDER).glob("*.py") if path.stem != "__init__")
    folder = ".".join(FOLDER.parts)
    if modules and folder not in sys.modules:
        sys.path.insert(0, str(home))  # before any other folder of this name, such as one where the process was started
    packages = []
    for name in modules:
        found = getattr(importlib.import_module(f"{folder}.{name}"), "PACKAGE", None)
        if found is None:
            continue
        if not isinstance(found, Package):
            raise ConfigurationError(
                "PACKAGE is no package of functions",
                where=f"{FOLDER}/{name}.py",
                next_step="make it a motlan.expressions.Package.",
            )
        packages.append(found)
    install(packages)
