"""Expressions: one small language, its functions, and a dialect of SQL for each engine that runs them.

Every cleaner and comparison of the bus is a function of the catalogue. The declared half calls them in expressions;
`parse` checks an expression and compiles it to SQL; `connect` opens the session that runs it. No Python function ever
runs inside a cleaner, so that an auditor can replay a value from the stored query alone. It knows no register.
"""

from motlan.expressions.answers import always_answers
from motlan.expressions.catalogue import FUNCTIONS, Catalogue, install, installed
from motlan.expressions.dialect import Dialect, Lookup, Scalar, Sql, Stage, fill
from motlan.expressions.duckdb.code_lists import code_lists, code_lists_digest, load_code_lists
from motlan.expressions.duckdb.dialect import DUCKDB
from motlan.expressions.duckdb.session import connect, constant, fingerprint, literal, make, one, prepare, quote
from motlan.expressions.explain import Step, explain
from motlan.expressions.failures import failure
from motlan.expressions.functions import Function, Package, Parameter
from motlan.expressions.language import Call, Expression, parse
from motlan.expressions.parallel import abreast
from motlan.expressions.spark.dialect import SPARK, SPARK_SETTINGS

__all__ = [
    "DUCKDB",
    "FUNCTIONS",
    "SPARK",
    "SPARK_SETTINGS",
    "Call",
    "Catalogue",
    "Dialect",
    "Expression",
    "Function",
    "Lookup",
    "Package",
    "Parameter",
    "Scalar",
    "Sql",
    "Stage",
    "Step",
    "abreast",
    "always_answers",
    "code_lists",
    "code_lists_digest",
    "connect",
    "constant",
    "explain",
    "failure",
    "fill",
    "fingerprint",
    "install",
    "installed",
    "literal",
    "load_code_lists",
    "make",
    "one",
    "parse",
    "prepare",
    "quote",
]
