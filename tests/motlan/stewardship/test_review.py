"""Review: pairs are given to people, who do not see each other's verdicts; what they decide outlives every run."""

import json
import stat
from dataclasses import replace as altered
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config import registry
from motlan.config.review import review_rules
from motlan.errors import AccessError, ConfigurationError, DataError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.linking import stored_models
from motlan.linking.model import declared
from motlan.stewardship import (
    control_pairs,
    published_links,
    record_pairs,
    review_decisions,
    review_measures,
    review_queue,
)
from motlan.stewardship.review_decisions import Said
from motlan.workspace import Workspace, open_workspace
from tests.conftest import CARDS, ROOT, SPINE, Country, card_record, signed_in, spine_record
from tests.motlan.test_pipeline import LATER, rows, whole_job

NAMESAKE = ("a6", "001085000006", "Nguyễn Văn An", "1985-01-01", "male", None)
UNSURE = [
    ("c2", None, "Tran Thi Binh", "1990", "male", "GD4010000000012"),
    ("c4", None, "Phạm Văn Dung", "1971", "male", "GD4010000000014"),
    ("c5", None, "Hoàng Thị Hoa", "1990", "female", "GD4010000000015"),
    ("c7", None, "Nguyen Van An", "1985", "male", "GD4010000000017"),
]
"""Cards that linking leaves to people: with `a2`, `a4`, `a5` and `a6`."""
ANN, BEN, CHI = "person:ann", "person:ben", "person:chi"


def reviewed(country: Country, **said: Any) -> Workspace:
    """A country with unsure pairs, linked under a model that leaves much to people, and published."""
    country.declare(
        "mapping/matching.yaml", lambda found: found["person"]["blocking_rules"].extend([["name"], ["birth_date"]])
    )
    rules = {"known": 0, "second": {"between": None, "share": 0}} | said
    (country.home / "mapping" / "review.yaml").write_text(yaml.safe_dump({"person": rules}), encoding="utf-8")
    country.write("alpha_people", [spine_record(row) for row in (*SPINE, NAMESAKE)])
    country.write("beta_cards", [card_record(row) for row in (*CARDS, *UNSURE)])
    country.after(link_under_a_model_that_leaves_much_to_people)
    return country.open()


def link_under_a_model_that_leaves_much_to_people() -> None:
    work = open_workspace()
    started = declared(work.registry.entity("person").matching)
    borne_by_others = [0.0, 0.01, *started.u["personal_id"][2:]]
    wide = {
        "link_threshold": 0.99999,
        "review_threshold": 0.1,
        "persons": 6,
        "pairs": 1,
        "u": started.u | {"personal_id": borne_by_others},
    }
    model = started.model_copy(update=wide)
    stored_models.release_first(work.store, "person", stored_models.record(work.store, "person", model), model)
    whole_job()


def taken(work: Workspace, who: str, count: int = 10) -> dict[str, int]:
    """Let somebody take pairs; return the card's key -> the assignment."""
    before = {row["assignment"] for row in review_queue.assigned(work, "person", who)}
    made = review_queue.take(work, "person", who, count)
    mine = {row["assignment"]: row["right_key"] for row in review_queue.assigned(work, "person", who)}
    assert set(made) == set(mine) - before
    return {mine[number]: number for number in made}


def decide(work: Workspace, who: str, assignment: int, verdict: str) -> int:
    (number,) = review_decisions.decide(
        work, who, [Said(assignment=assignment, verdict=verdict, reason="their photos")]
    )
    return number


def in_force(work: Workspace) -> dict[str, bool]:
    return {row["right_key"]: row["same"] for row in stored_models.decided(work.store, "person").to_pylist()}


def told(country: Country, event: str) -> list[tuple[str, list[str]]]:
    """Persons of whom the feed told an event, with the others that it names."""
    query = f"select person_id::text, others::text[] from feed_person where event = '{event}' order by seq"
    return rows(country, query)


def linked(country: Country) -> dict[str, tuple[str, str]]:
    """Card or citizen -> (person, rule), of the newest run."""
    pipeline.project(pipeline.publish()["run"])
    return linked_now(country.open())


def linked_now(work: Workspace) -> dict[str, tuple[str, str]]:
    with work.engine("reading") as engine:
        found = engine.execute(f"select _key, entity_id, rule from {published_links.links(work, 'person')}").fetchall()
    return {key: (person, rule) for key, person, rule in found}


def test_a_pair_is_seen_by_whom_it_is_assigned_to_and_a_decision_outlives_every_run(country: Country) -> None:
    work = reviewed(country)
    assert review_queue.waiting(work, "person") == 4
    mine = taken(work, ANN, 3)
    others = taken(work, BEN)
    assert len(mine) == 3
    assert {*mine, *others} == {"c2", "c4", "c5", "c7"}, "one reviewer each is enough here"
    assert taken(work, CHI) == {}, "nobody chooses, and nobody gets what another has"
    key, number = next(iter(mine.items()))
    with pytest.raises(AccessError, match="another reviewer"):
        review_queue.show(work, number, BEN)
    with pytest.raises(AccessError, match="another reviewer"):
        decide(work, BEN, number, "same")
    shown = review_queue.show(work, number, ANN)
    assert rows(country, "select principal, action, subject from accesses") == [
        (ANN, "review.read", f"person assignments {number}")
    ]
    sides = {row["field"]: (row["left"], row["right"]) for row in shown["fields"]}
    assert sides["full_name"][1] == {row[0]: row[2] for row in UNSURE}[key].title()
    assert sum(step["match_weight"] for step in shown["waterfall"]) == pytest.approx(shown["match_weight"])
    at_the_time = rows(country, f"select match_weight from link_assignments where id = {number}")[0][0]
    assert shown["match_weight"] == pytest.approx(at_the_time), "the pair weighs what linking found"
    names = {step["comparison"]: step["is"] for step in shown["waterfall"]}
    assert names["personal_id"] == "missing"

    with pytest.raises(ConfigurationError, match="reason"):
        review_decisions.decide(work, ANN, [Said(assignment=number, verdict="same", reason=" ")])
    everything = {**mine, **others}
    decided = {key: decide(work, ANN if key in mine else BEN, everything[key], "same") for key in ("c5", "c7")}
    decide(work, ANN if "c2" in mine else BEN, everything["c2"], "different")
    with pytest.raises(DataError, match="is decided"):
        decide(work, ANN if "c2" in mine else BEN, everything["c2"], "same")
    assert in_force(work) == {"c2": False, "c5": True, "c7": True}
    assert review_queue.waiting(work, "person") == 1

    before = linked_now(work)
    counts = pipeline.reconcile()["diff"]
    assert (counts["merged"], counts["removed"], counts["split"]) == (2, 2, 0)
    found = linked(country)
    assert sorted(told(country, "merged")) == sorted(
        (before[key][0], [found[citizen][0]]) for key, citizen in {"c5": "a5", "c7": "a6"}.items()
    )
    assert told(country, "removed") == []
    key = keys.issue(work.store, "beta")
    client = TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})
    lines = [json.loads(line) for line in client.get("/v1/feeds/person/changes").text.splitlines()]
    seen = {line["person_id"]: line["others"] for line in lines if line["event"] == "merged"}
    assert seen == dict(told(country, "merged")), "an agency is told into whom"
    won = {line["person_id"]: line["others"] for line in lines if line["event"] == "moved"}
    assert won == {into: [person] for person, (into,) in seen.items()}, "and who won the rows"
    assert all("others" not in line for line in lines if line["event"] not in ("merged", "moved"))
    fields = sample(work, "person", 1000, seed=1)
    assert replay(work, gather(work, "person", sorted({one for one, _ in fields})), fields).reasons == {}
    assert (found["c5"], found["c7"]) == ((found["a5"][0], "decided"), (found["a6"][0], "decided"))
    assert found["c2"][0] != found["a2"][0]
    review_decisions.withdraw(work, decided["c7"], BEN, "the photo was of somebody else")
    with pytest.raises(DataError, match="no such decision"):
        review_decisions.withdraw(work, decided["c7"], BEN, "again")
    assert in_force(work) == {"c2": False, "c5": True}
    pipeline.reconcile()
    found = linked(country)
    assert found["c7"][0] not in {before["c7"][0], found["a6"][0]}, "undone, under an id that nobody had"
    assert told(country, "split") == [(found["c7"][0], [found["a6"][0]])]
    assert found["c5"][0] == found["a5"][0]

    assert review_measures.contradicted(work, "person") == []
    changed = [
        ("c2", "001190000002", "Trần Thị Bình", "06/05/1990", "female", "GD4010000000012"),
        ("c5", None, "Võ An", "2019", "male", "GD4010000000015"),
    ]
    country.write("beta_cards", [card_record(row, LATER) for row in changed])
    pipeline.sync("beta_cards")
    against = {row["right_key"]: row for row in review_measures.contradicted(work, "person")}
    assert {key: row["same"] for key, row in against.items()} == {"c2": False, "c5": True}
    assert against["c2"]["match_weight"] > 20 > -10 >= against["c5"]["match_weight"]
    assert in_force(work) == {"c2": False, "c5": True}, "told, and not overruled"


def test_a_second_reviewer_is_blind_and_a_third_decides(country: Country) -> None:
    work = reviewed(country, second={"between": [0.0, 1.0], "share": 0})
    first = taken(work, ANN)
    assert len(first) == 4
    for key, verdict in {"c2": "different", "c4": "same", "c5": "same", "c7": "unknown"}.items():
        decide(work, ANN, first[key], verdict)
    assert in_force(work) == {}, "one of two"
    second = taken(work, BEN)
    assert set(second) == set(first)
    seen = json.dumps(review_queue.show(work, second["c2"], BEN))
    assert "ann" not in seen
    assert "their photos" not in seen
    for key, verdict in {"c2": "different", "c4": "different", "c5": "same", "c7": "same"}.items():
        decide(work, BEN, second[key], verdict)
    assert in_force(work) == {"c2": False, "c5": True}
    third = taken(work, CHI)
    assert set(third) == {"c4", "c7"}, "where they differ, or one could not tell"
    decide(work, CHI, third["c4"], "same")
    decide(work, CHI, third["c7"], "different")
    assert in_force(work) == {"c2": False, "c4": True, "c5": True}
    assert taken(work, "user:dan") == {}, "three are enough: the machine's outcome stands"
    told = {
        row["reviewer"]: (row["decided"], row["unknown"], row["doubled"], row["agreed"])
        for row in review_measures.reviewers(work, "person")
    }
    assert told == {ANN: (4, 1, 3, 3), BEN: (4, 0, 4, 2), CHI: (2, 0, 2, 1)}
    bands = review_measures.calibration(work, "person")["bands"]
    assert sum(band["pairs"] for band in bands) == 3
    assert sum(band["same"] for band in bands) == 2


def test_known_answers_measure_reviewers_and_samples_the_links(country: Country, tmp_path: Path) -> None:
    work = reviewed(country, known=0.999)
    assert control_pairs.sample(work, "person", 2) == 2
    assert control_pairs.sample(work, "person", 100) > 0
    assert control_pairs.sample(work, "person", 100) == 0, "every link is sampled by now"
    mine = review_queue.take(work, "person", ANN, 10)
    cases = rows(country, "select left_key, right_key, answer from link_cases where purpose = 'known' order by 3, 1, 2")
    assert cases == [("a6", "b1", False), ("a1", "b1", True), ("a3", "b3", True), ("a4", "b4", True)]
    purposes = dict(rows(country, "select id, purpose from link_assignments"))
    measured = [number for number in mine if purposes[number] == "known"]
    assert len(measured) == 4
    for number in measured:
        shown = review_queue.show(work, number, ANN)
        assert [row["left"] for row in shown["fields"] if row["field"] == "personal_id"] == [None]
        assert {step["is"] for step in shown["waterfall"] if step["comparison"] == "personal_id"} == {"missing"}
    for number in measured:
        decide(work, ANN, number, "same")
    (told,) = review_measures.reviewers(work, "person")
    assert (told["known"], told["right"]) == (4, 3)
    assert told["share_right"]["low"] < 0.75 < told["share_right"]["high"]
    assert in_force(work) == {}, "what is known is not decided by anybody"

    (country.home / "mapping" / "review.yaml").write_text("person: {known: 0, second: {between: null, share: 0}}")
    rest = review_queue.take(work, "person", BEN, 20)
    purposes = dict(rows(country, f"select id, purpose from link_assignments where principal = '{BEN}'"))
    checked = [number for number in rest if purposes[number] == "sample"]
    for number in checked[:-1]:
        decide(work, BEN, number, "same")
    decide(work, BEN, checked[-1], "different")
    found = review_measures.calibration(work, "person")["links"]
    assert (found["decided"], found["right"]) == (len(checked), len(checked) - 1)
    assert found["precision"]["share"] == pytest.approx((len(checked) - 1) / len(checked))
    (apart,) = [key for key, same in in_force(work).items() if not same]
    before = linked_now(work)
    pipeline.reconcile()
    after = linked(country)
    assert before[apart][0] != after[apart][0], "the machine linked it surely, and gives way"
    assert {key: person for key, (person, _) in before.items() if key != apart} == {
        key: person for key, (person, _) in after.items() if key != apart
    }


def call(who: str, *words: str, said: Any = None, fails: bool = False) -> Any:
    answer = CliRunner().invoke(app, ["review", *words, "--json"], input=json.dumps(said), env=signed_in(who))
    assert answer.exit_code == (1 if fails else 0), answer.output
    return json.loads(answer.stdout)


def test_pairs_are_decided_offline_by_whom_they_are_assigned_to_and_lapse_to_others(
    country: Country, tmp_path: Path
) -> None:
    work = reviewed(country)
    assert len(call("ann", "next", "--count", "3")["assignments"]) == 3
    assert len(call("ben", "next")["assignments"]) == 1
    mine = {row["assignment"]: row["right_key"] for row in call("ann", "list")["assigned"]}
    target = tmp_path / "pairs.ndjson"
    assert call("ann", "export", "--out", str(target))["pairs"] == 3
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "FileExistsError" in call("ann", "export", "--out", str(target), fails=True)["message"]
    exported = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert all(pair["verdict"] is None for pair in exported)
    filled = [pair | {"verdict": "same", "reason": "alike"} for pair in exported[:2]]

    def load(who: str, lines: list[dict[str, Any]], *, fails: bool = False) -> dict[str, Any]:
        target.write_text("\n".join(json.dumps(line) for line in [*lines, exported[2]]), encoding="utf-8")
        return call(who, "import", str(target), fails=fails)

    theirs = call("ben", "list")["assigned"][0]["assignment"]
    stolen = [*filled, {"assignment": theirs, "verdict": "same", "reason": "alike"}]
    assert "another reviewer" in load("ann", stolen, fails=True)["message"]
    wrong = load("ann", [*filled, {"assignment": theirs, "verdict": "perhaps"}], fails=True)["message"]
    assert "line 3" in wrong
    assert rows(country, "select count(*) from link_decisions") == [(0,)], "all or none"
    assert len(load("ann", filled)["decisions"]) == 2
    assert call("ann", "list")["assigned"][0]["assignment"] == exported[2]["assignment"]
    assert call("ben", "decide", str(theirs), "different", said={"why": "another face"})["verdict"] == "different"
    assert "not a verdict" in call("ben", "decide", str(theirs), "perhaps", said={"why": "so"}, fails=True)["message"]
    with work.store.engine.begin() as connection:
        connection.exec_driver_sql("update link_assignments set assigned_at = now() - interval '15 days'")
    assert set(taken(work, CHI)) == {mine[exported[2]["assignment"]]}, "an undecided pair lapses to others"
    (decision,) = call("ben", "decisions")
    assert call("ann", "withdraw", str(decision["decision"]), said={"why": "the photo is old"})["withdrawn"]
    assert len(in_force(work)) == 2
    assert call("ann", "sample", "--count", "1")["sampled"] == 1
    for words in (
        ["list"],
        ["list", "--contradicted"],
        ["reviewers"],
        ["calibration"],
        ["decisions"],
        ["show", str(theirs)],
    ):
        answer = CliRunner().invoke(app, ["review", *words], env=signed_in("ben"))
        assert answer.exit_code == 0, answer.output
        assert "0010" not in answer.output or words[0] == "show", "a list holds no identifier"


def test_wilsons_interval_is_that_of_the_books() -> None:
    assert record_pairs.wilson(0, 0) == (0.0, 1.0)
    assert record_pairs.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-4)  # Newcombe 1998, table I
    assert record_pairs.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-4)


def test_the_declared_rules_name_fields_that_exist(tmp_path: Path) -> None:
    declared_here = registry.load(ROOT)
    assert set(review_rules(declared_here, "person").errors_by) == {
        "province",
        "age",
        "ethnicity",
    }
    (tmp_path / "mapping").mkdir()
    (tmp_path / "mapping" / "review.yaml").write_text("person:\n  errors_by:\n    place: {row: residnce}\n")
    elsewhere = altered(declared_here, home=tmp_path)
    with pytest.raises(ConfigurationError, match="line 3: person has no field residnce"):
        review_rules(elsewhere, "person")
