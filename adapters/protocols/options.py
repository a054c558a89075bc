"""`Source.options`, read into the dataclass that a transport wants, so that a slip of the pen is told at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from motlan.adapter import Source
from motlan.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    _T = TypeVar("_T", bound=DataclassInstance)


def read_options(source: Source, wanted: type[_T]) -> _T:
    """Make `wanted`, whose fields are all strings, from the source's options.

    Raises:
        ConfigurationError: An option is missing, unknown, or no text.
    """
    options: dict[str, Any] = dict(source.options)
    fields = {field.name: field for field in dataclasses.fields(wanted)}
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    wrong = (options.keys() - fields) | (required - options.keys())
    wrong |= {name for name, value in options.items() if not isinstance(value, str)}
    if wrong:
        raise ConfigurationError(
            f"options missing, unknown or not text: {', '.join(sorted(wrong))}",
            where=source.dataset,
            next_step="mend `options` in adapters/agencies.yaml.",
        )
    return wanted(**options)
