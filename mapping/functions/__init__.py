"""The country's own functions of the expression language, a package a subject.

Each module with a `PACKAGE` is found by the registry. The other modules hold its SQL. A function is its meaning, its examples
(its tests on both engines) and its DuckDB SQL; Spark's is written from that. They import `motlan.expressions` alone.
"""
