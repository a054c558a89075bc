"""What cleaners always answer: the pattern (RE2, of the whole text) that each of their answers meets, or null.

A field that comes from one of them need not be asked again whether it meets that very pattern. Their examples are held
against it by a test.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from motlan.expressions.language import Call

ANSWERS: Mapping[str, str] = {
    "personal_id": r"\d{12}",
    "old_identity_number": r"\d{9}",
    "person_name": r"\S+( \S+)*",
    "partial_date": r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?",
    "commune": r"\d{5}",
    "address_commune": r"\d{5}",
    "commune_candidates": r"\d{5}(;\d{5})+",
    "province_of_commune": r"\d{2}",
    "former_province_of_commune": r"\d{2}",
    "tax_code": r"(\d{10}|\d{12}|\d{13})",
    "social_code": r"(\d{10}|\d{12})",
    "health_card": r"[A-Z]{2}[1-5]\d{12}",
}
"""Function -> pattern of its answers."""


def always_answers(call: Call) -> str | None:
    """Return the pattern that every answer of a call meets; None where that is not known."""
    if call.function == "fixed_digits":
        return rf"\d{{{ast.literal_eval(call.arguments[1].text)}}}"
    return ANSWERS.get(call.function)
