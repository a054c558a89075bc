"""Functions that look a word of a source up in a code list.

A list is a file `mapping/codes/<list>.csv`; `motlan.engine.load_code_lists` brings the folder into the engine. A code
means nothing without its date: rows may carry `valid_from` and `valid_to`, and one code may stand in several.
The examples speak of lists that the tests bring.
"""

from __future__ import annotations

from motlan.engine.functions import Function, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "code",
        parameters("list=, x"),
        "What a source's code means in a list, upper and lower case and spaces aside. Null when the list does not know "
        "it. Of a code with several meanings in time, the newest.",
        (
            (("sexes", "Nữ"), "female"),
            (("sexes", " NAM "), "male"),
            (("sexes", "x"), None),
            (("sexes", None), None),
        ),
    ),
    Function(
        "code_at",
        parameters("list=, x, moment"),
        "What a code meant at a moment or day: its newest meaning that began by then. An ended code keeps its last "
        "meaning. Without a moment, its newest.",
        (
            (("communes", "00001", "2020-01-01"), "00097"),
            (("communes", "00001", "2026-01-01"), "00097"),
            (("communes", "00004", None), "00004"),
            (("communes", "99999", "2026-01-01"), None),
        ),
    ),
    Function(
        "commune",
        parameters("x, moment"),
        "The commune of July 2025 (Resolution 202/2025/QH15; 3,321 communes) that a code stands for: a record older "
        "than the reform speaks of the old unit, and a unit that was divided gives its default successor; a newer "
        "record speaks of the new unit, or of an old one where no new unit has the code.",
        (
            (("00001", "2020-01-01T00:00:00.000000Z"), "00097"),
            ((" 00004 ", "2026-01-01T00:00:00.000000Z"), "00004"),
            (("00001", "2026-01-01T00:00:00.000000Z"), "00097"),
            (("4", "2026-01-01T00:00:00.000000Z"), None),
            ((None, None), None),
        ),
    ),
    Function(
        "province_of_commune",
        parameters("x"),
        "The province (one of 34) of a commune of July 2025.",
        ((("00004",), "01"), (("99999",), None), ((None,), None)),
    ),
)
"""The functions of this page, by name."""
