"""The generic functions: texts, dates, code lists and comparisons, which know no country."""

from __future__ import annotations

from types import MappingProxyType

from motlan.expressions.dialect import merged
from motlan.expressions.duckdb.clock import DateWords
from motlan.expressions.duckdb.codes import CODES
from motlan.expressions.duckdb.comparisons import COMPARISONS
from motlan.expressions.duckdb.dates import DATES, DateReading
from motlan.expressions.duckdb.numbers import NUMBERS
from motlan.expressions.duckdb.texts import TEXTS
from motlan.expressions.duckdb.traces import plain_text
from motlan.expressions.functions import Package
from motlan.expressions.generic import codes, comparisons, dates, texts
from motlan.expressions.spark import comparisons as spark_comparisons
from motlan.expressions.spark import dates as spark_dates

GENERIC = Package(
    name="the bus",
    functions=MappingProxyType({**texts.FUNCTIONS, **dates.FUNCTIONS, **codes.FUNCTIONS, **comparisons.FUNCTIONS}),
    duckdb=merged(plain_text(), TEXTS, NUMBERS, DateReading(DateWords()).sql(), DATES, CODES, COMPARISONS),
    spark=MappingProxyType({**spark_comparisons.COMPARISONS, **spark_dates.DATES}),
)
"""The package that every process has."""
