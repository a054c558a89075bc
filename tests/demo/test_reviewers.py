"""The demo's reviewers decide by the truth of the day, are wrong about some pairs, and take that back at the next sitting."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo import reviewers
from demo.reviewers import NAMES, Reviewers, true_answers
from motlan.errors import DataError

PAIRS = [("population", f"P{n}", "tax", f"T{n}") for n in range(20)]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Pairs of even number are of one person, T0 is another's from day 1 on."""
    rows = [{"dataset": "population", "key": f"P{n}", "true_id": n, "valid_from_day": 0} for n in range(20)]
    rows += [
        {"dataset": "tax", "key": f"T{n}", "true_id": n if n % 2 == 0 else 100 + n, "valid_from_day": 0}
        for n in range(20)
    ]
    rows.append({"dataset": "tax", "key": "T0", "true_id": 77, "valid_from_day": 1})
    (tmp_path / "truth").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "truth" / "rows.parquet")
    return tmp_path


class Bus:
    """A queue that gives both reviewers all pairs, and keeps what they say."""

    def __init__(self) -> None:
        self.said: dict[int, tuple[str, int, str]] = {}
        self.withdrawn: list[int] = []

    def assigned(self, _work, _entity, name):
        taken = {(who, one) for number, (who, one, _) in self.said.items() if number not in self.withdrawn}
        names = ("left_dataset", "left_key", "right_dataset", "right_key")
        return [
            {"assignment": n, **dict(zip(names, pair, strict=True))}
            for n, pair in enumerate(PAIRS)
            if (name, n) not in taken
        ]

    def decide(self, _work, name, said):
        number = len(self.said)
        self.said[number] = (name, said[0].assignment, said[0].verdict)
        return [number]

    def withdraw(self, _work, decision, name, why):
        assert why and self.said[decision][0] == name
        self.withdrawn.append(decision)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus()
    monkeypatch.setattr(reviewers.review_queue, "take", lambda *_: [])
    for module, name in (
        (reviewers.review_queue, "assigned"),
        (reviewers.review_decisions, "decide"),
        (reviewers.review_decisions, "withdraw"),
    ):
        monkeypatch.setattr(module, name, getattr(bus, name))
    return bus


def test_the_truth_of_a_pair_is_that_of_the_day_and_unknown_records_have_none(world):
    told = true_answers(world, 0, [*PAIRS[:2], ("population", "P0", "tax", "none")])
    assert told == {PAIRS[0]: True, PAIRS[1]: False}
    assert true_answers(world, 1, PAIRS[:1]) == {PAIRS[0]: False}


def test_both_are_wrong_about_the_same_tenth_and_right_about_it_at_the_next_sitting(world, bus):
    people = Reviewers(None, world, 2)
    people.sit(0)
    truth = true_answers(world, 0, PAIRS)
    wrong = {n for n, (_, one, said) in bus.said.items() if (said == "same") != truth[PAIRS[one]]}
    assert len({bus.said[n][1] for n in wrong}) == 2
    assert len(wrong) == 2 * len(NAMES)
    people.sit(0)
    assert set(bus.withdrawn) == wrong
    standing = [one for n, one in bus.said.items() if n not in bus.withdrawn]
    assert all((said == "same") == truth[PAIRS[one]] for _, one, said in standing)
    assert len(standing) == 2 * len(PAIRS)
    assert people.decided == {"same": 22, "different": 22, "wrong": 4, "undone": 4, "refused": 0}


def test_nobody_errs_where_no_sitting_is_left_to_take_it_back(world, bus):
    people = Reviewers(None, world, 1)
    people.sit(1)
    assert people.decided["wrong"] == 0


def test_what_the_bus_refuses_is_counted_and_no_decision(world, bus, monkeypatch):
    def refuse(*_):
        raise DataError("it contradicts another decision", next_step="look at both.")

    monkeypatch.setattr(reviewers.review_decisions, "decide", refuse)
    people = Reviewers(None, world, 1)
    people.sit(0)
    assert people.decided["refused"] == 2 * len(PAIRS)
    assert people.decided["same"] == people.decided["different"] == 0
