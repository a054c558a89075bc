"""Whether a record has become another person's: a small correction has not made it so."""

import pyarrow as pa
import pytest

from motlan.config.registry import load
from motlan.expressions import connect
from motlan.linking.model import declared
from motlan.linking.valid_decisions import compared
from tests.conftest import ROOT

NUMBER, OTHER = "001190000002", "001195000099"
SEEN = {"personal_id": NUMBER, "full_name": "Trần Thị Bình", "birth_date": "1990-05-06", "sex": "female"}
BARE = SEEN | {"personal_id": None}
MAI = {"full_name": "Võ Thị Mai", "birth_date": "1995-02-03"}


@pytest.mark.parametrize(
    ("seen", "now", "another"),
    [
        (SEEN, SEEN | {"full_name": "Trần Thị Bính"}, False),
        (SEEN, SEEN | {"birth_date": "1990-06-05"}, False),
        (SEEN, SEEN | {"birth_date": "1991-05-06", "full_name": "Trần Bình"}, False),
        (SEEN, SEEN | {"personal_id": OTHER}, False),
        (SEEN, SEEN | {"personal_id": OTHER, "birth_date": "1995-05-06"}, False),
        (BARE, SEEN, False),
        (SEEN, BARE | {"birth_date": "1990"}, False),
        (SEEN, SEEN | {"full_name": None}, False),
        (SEEN, SEEN | MAI, True),
        (SEEN, SEEN | MAI | {"personal_id": OTHER}, True),
        (SEEN, SEEN | {"personal_id": OTHER, "full_name": "Võ Thị Mai"}, True),
        (SEEN, SEEN | {"personal_id": OTHER, "birth_date": "1971-12-30"}, True),
        (BARE, BARE | MAI, True),
        (BARE, BARE | MAI | {"sex": "male", "personal_id": OTHER}, True),
    ],
)
def test_a_record_is_anothers_where_what_tells_people_apart_changed(
    seen: dict[str, str | None], now: dict[str, str | None], another: bool
) -> None:
    matching = load(ROOT).entity("person").matching
    rows = [dict.fromkeys(matching.fields) | row for row in (seen, now)]
    columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in matching.fields}
    with connect(threads=1) as engine:
        engine.register("told", pa.table(columns | {"dataset": ["zeta", "zeta"], "_key": ["one", "two"]}))
        engine.execute("create table versions_ as from told")
        model = declared(matching).model_copy(update={"persons": 1_000_000})
        assert compared(engine, matching, model, [("one", "two")]) == [another]
