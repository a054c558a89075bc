"""Failures of the engine and of the machine, told apart from what a source sent and in our words: theirs quote values."""

from __future__ import annotations

import errno

import duckdb

from motlan.errors import EngineError, InternalError, MotlanError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded", "File too large", "max_temp_directory_size")
_OURS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


def failure(error: BaseException, where: str = "") -> MotlanError | None:
    """Tell in our words of an error that no source is to blame for; of its text nothing is told.

    Args:
        error: Any error, of DuckDB, Arrow, Spark or Python.
        where: The step and its subject.

    Returns:
        An EngineError where memory, disk or time ran out; an InternalError where a query of ours is wrong; None where it is
        another kind of error: the data may be at fault.
    """
    text = str(error) if isinstance(error, (OSError, duckdb.Error)) or _is_java(error) else ""
    if getattr(error, "errno", None) in _FULL or any(words in text for words in _FULL_TEXTS):
        return EngineError("the disk is full", where=where, next_step="make room on it, then run the same again.")
    if isinstance(error, (MemoryError, duckdb.OutOfMemoryException)) or "OutOfMemoryError" in text:
        return EngineError(
            "the engine ran out of memory",
            where=where,
            next_step="run the same again, with less beside it or with more of MOTLAN_MEMORY_LIMIT.",
        )
    if isinstance(error, duckdb.InterruptException):
        return EngineError("the query was interrupted", where=where, next_step="run the same again.")
    if isinstance(error, _OURS):
        return InternalError(
            f"a query of the bus is wrong ({type(error).__name__})",
            where=where,
            next_step="report this; with MOTLAN_DEBUG_SQL=1, on synthetic data, the query is shown.",
        )
    return None


def _is_java(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("py4j", "pyspark")
