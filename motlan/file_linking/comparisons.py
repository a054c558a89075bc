"""Ready-made comparisons, for a configuration that says `surname: name` and no more. Their m and u are learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "exact": (),
    "identifier": (("one slip of the pen", "one_edit({left}, {right})"),),
    "code": (("one slip of the pen", "length({left}) >= 4 and one_edit({left}, {right})"),),
    "name": (
        ("one slip of the pen", "length({left}) >= 4 and one_edit({left}, {right})"),
        ("alike", "similarity({left}, {right}) >= 0.88"),
    ),
    "text": (("alike", "similarity({left}, {right}) >= 0.88"),),
    "date": (
        ("agree as far as known", "dates_agree({left}, {right})"),
        ("day and month swapped", "date_swapped({left}) == {right}"),
        ("one slip of the pen", "one_edit({left}, {right})"),
    ),
}
"""Word -> the levels between `same` and `another`."""
_PLAIN = ("exact", "identifier")
"""Those whose agreement counts alike for every value."""


def comparison(field: str, word: str) -> dict[str, Any]:
    """Write a ready-made comparison out, as `Matching` declares them.

    Args:
        field: The field that it compares; its values' frequency counts, but for `exact` and `identifier`.
        word: One of `READY`.
    """
    left, right = f"left_{field}", f"right_{field}"
    same = {"is": "same", "when": f"{left} == {right}"} | (
        {} if word in _PLAIN else {"term_frequency_adjustment": True}
    )
    levels = [
        {"is": "missing", "when": f"{left} is None or {right} is None", "missing": True},
        same,
        *({"is": name, "when": when.format(left=left, right=right)} for name, when in READY[word]),
        {"is": "another", "when": "True"},
    ]
    also = {"learned_from": "training_key"} if word == "identifier" else {} if word in _PLAIN else {"frequency": field}
    return {**also, "levels": levels}
