"""Functions that look a word of a source up in a code list.

A list is a file `mapping/codes/<list>.csv`; `motlan.expressions.load_code_lists` brings the folder into the engine. A code
means nothing without its date: rows may carry `valid_from` and `valid_to`, and one code may stand in several.
The examples speak of lists that the tests bring.
"""

from __future__ import annotations

from motlan.expressions.functions import Function, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "code",
        parameters("list=, x"),
        "What a source's code means in a list, upper and lower case and spaces aside. Null when the list does not know "
        "it. Of a code with several meanings in time, the newest.",
        (
            (("sexes", " Woman "), "female"),
            (("sexes", " MAN "), "male"),
            (("sexes", "x"), None),
            (("sexes", None), None),
        ),
        storable=True,
    ),
    Function(
        "code_at",
        parameters("list=, x, moment"),
        "What a code meant at a moment or day: its newest meaning that began by then. An ended code keeps its last "
        "meaning. Without a moment, its newest.",
        (
            (("currencies", "X1", "2000-01-01"), "old"),
            (("currencies", "X1", "2026-01-01"), "new"),
            (("currencies", "X1", None), "new"),
            (("currencies", "X9", "2026-01-01"), None),
        ),
        storable=True,
    ),
    Function(
        "candidate_of",
        parameters("x, candidates"),
        "Whether a value is one of several candidates, `;` between them. False where there are no candidates.",
        (
            (("B", "A;B"), True),
            (("C", "A;B"), False),
            (("B", None), False),
            ((None, "A;B"), None),
        ),
    ),
)
"""The functions, by name."""
