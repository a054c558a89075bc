"""The catalogue: every function that an expression of this process may call.

It has the generic functions, and those that the declared half brings: the registry installs them when it loads. A process
works for one declared half, whose models and adapters are modules of it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from motlan.errors import ConfigurationError
from motlan.expressions.dialect import merged
from motlan.expressions.functions import Function, Package
from motlan.expressions.generic import GENERIC


class Catalogue:
    """The generic functions and those of some packages.

    Args:
        packages: Packages, each with functions of its own.

    Raises:
        ConfigurationError: Two packages have a function of one name, or one has no SQL.
    """

    def __init__(self, packages: Iterable[Package] = ()) -> None:
        self.packages = (GENERIC, *packages)
        self.functions: dict[str, Function] = {}
        self.spark: dict[str, str] = {}
        columns: dict[str, None] = {}
        for package in self.packages:
            self._check(package)
            self.functions |= package.functions
            self.spark = {name: sql for name, sql in self.spark.items() if name not in package.replaces}
            self.spark |= package.spark
            columns |= dict.fromkeys(package.code_list_columns)
        self.duckdb = merged(*(package.duckdb for package in self.packages))
        self.code_list_columns = tuple(columns)

    def _check(self, package: Package) -> None:
        where = f"functions of {package.name}"
        known = self.functions.keys() - (package.replaces & GENERIC.functions.keys())
        if twice := sorted(known & package.functions.keys()):
            raise ConfigurationError(
                f"there are two functions {twice[0]}", where=where, next_step="give one of them another name."
            )
        if unwritten := sorted(package.functions.keys() - package.duckdb.templates.keys()):
            raise ConfigurationError(
                f"{unwritten[0]} has no SQL", where=where, next_step="add its template to the package's `duckdb`."
            )


_installed = Catalogue()


def installed() -> Catalogue:
    """Return the process's catalogue."""
    return _installed


def install(packages: Iterable[Package]) -> None:
    """Make the generic functions and those of some packages the process's catalogue; others are there no more.

    Raises:
        ConfigurationError: Two packages have a function of one name, or one has no SQL.
    """
    global _installed
    wanted = tuple(packages)
    if _installed.packages[1:] != wanted:
        _installed = Catalogue(wanted)


class _Functions(Mapping[str, Function]):
    """The functions of the process's catalogue, as they are when asked for."""

    def __getitem__(self, name: str) -> Function:
        return _installed.functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_installed.functions)

    def __len__(self) -> int:
        return len(_installed.functions)


FUNCTIONS: Mapping[str, Function] = _Functions()
"""Every function that an expression may call, by name."""
