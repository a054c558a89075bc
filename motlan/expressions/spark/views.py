"""Takes a long query of Spark's SQL apart into views, for Spark's analyser to read each by itself.

The analyser goes over a whole query again and again until nothing changes, and a `let` (a call inside a lambda inside a call)
costs it a round each. So a query takes it the product of its length and the sum of its parts' depths; apart, the parts take
the sum of small products. Views are only names for it: what the optimiser sees, and what is computed, stays one query.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONG = 1000
"""Characters from which a derived table is worth a view."""

_TOKENS = re.compile(r"'(?:[^'\\]|\\.)*'|`[^`]*`|[()]|[^'`()]+", re.DOTALL)
_READS = re.compile(r"\b(from|join)\s*\Z", re.IGNORECASE)


def in_parts(query: str, view: Callable[[str], str]) -> str:
    """Return a query that reads its long derived tables by name.

    One inside an expression stays: it may speak of the rows around it.

    Args:
        query: Spark's SQL.
        view: Makes a view of a query; returns its name. The innermost come first.
    """
    written: list[list[str]] = [[]]
    derived = [True]
    for piece in _TOKENS.findall(query):
        if piece == "(":
            before = written[-1][-1] if written[-1] else ""
            derived.append(derived[-1] and _READS.search(before) is not None)
            written.append([])
        elif piece == ")":
            inner = "".join(written.pop())
            apart = derived.pop() and len(inner) >= LONG and inner.lstrip().lower().startswith("select")
            written[-1].append(view(inner) if apart else f"({inner})")
        else:
            written[-1].append(piece)
    return "".join(written[0])
