"""What a call always answers: the pattern (RE2, of the whole text) that each of its answers meets, or null.

A field that comes from such a call need not be checked again against that very pattern. The functions' examples are held
against it by a test.
"""

from __future__ import annotations

import ast

from motlan.expressions.catalogue import FUNCTIONS
from motlan.expressions.dialect import fill
from motlan.expressions.language import Call


def always_answers(call: Call) -> str | None:
    """Return the pattern that every answer of a call meets; None where that is not known."""
    function = FUNCTIONS[call.function]
    if function.pattern is None:
        return None
    given = zip(call.arguments, function.parameters, strict=False)
    written = [str(ast.literal_eval(one.text)) if parameter.written_out else "" for one, parameter in given]
    return fill(function.pattern, written)
