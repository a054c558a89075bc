"""What cleaners promise of their answers holds for each of their examples."""

import re

import pytest

from motlan.expressions import FUNCTIONS, Call, always_answers, parse


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.pattern])
def test_every_example_of_a_cleaner_meets_the_pattern_of_its_answers(name: str) -> None:
    answers = [answer for _, answer in FUNCTIONS[name].examples if answer is not None]
    assert answers
    calls = [parse(f"{name}({', '.join(map(repr, given))})").answers[0] for given, _ in FUNCTIONS[name].examples]
    (pattern,) = {always_answers(call) for call in calls if isinstance(call, Call)}
    assert pattern is not None
    assert [answer for answer in answers if not re.fullmatch(pattern, str(answer), re.ASCII)] == []


def test_the_answers_of_an_expression_are_found_behind_coalesce_and_conditionals() -> None:
    made = parse("coalesce(personal_id(a), old_identity_number(b) if c is None else None, d)")
    assert {answer if isinstance(answer, str) else answer.function for answer in made.answers} == {
        "personal_id",
        "old_identity_number",
        "d",
    }


def test_digits_of_a_fixed_number_have_a_pattern_of_their_own() -> None:
    (call,) = parse("fixed_digits(a, 10)").answers
    assert not isinstance(call, str)
    assert always_answers(call) == r"\d{10}"
