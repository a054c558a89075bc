"""Every function that an expression may call, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from motlan.expressions.catalogue import codes, comparisons, dates, identifiers, names, texts
from motlan.expressions.functions import Function

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        **texts.FUNCTIONS,
        **names.FUNCTIONS,
        **identifiers.FUNCTIONS,
        **dates.FUNCTIONS,
        **codes.FUNCTIONS,
        **comparisons.FUNCTIONS,
    }
)
"""The whole catalogue."""
