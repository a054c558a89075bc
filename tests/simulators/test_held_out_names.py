"""Names of every ethnic group and of foreigners: no cleaning changes one, and none of them is a world's."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motlan.expressions import DUCKDB, connect, one
from simulators.held_out_names import GROUPS, WHOLE, names

NAMES = list(names())


def changed(given: list[str]) -> list[tuple[str, str | None]]:
    cleaned = DUCKDB.call("person_name", ["x"])
    with connect(threads=1) as con:
        made = f"select x, {cleaned} as made from (select unnest($1::varchar[]) as x)"
        query = f"select x, made from ({made}) where made is distinct from x"
        return con.execute(query, [given]).fetchall()


def test_there_are_thousands_and_each_once_in_unicode_nfc() -> None:
    texts = [name for _, name in NAMES]
    assert len(texts) == len(set(texts)) > 3000
    assert all(unicodedata.is_normalized("NFC", name) and name == " ".join(name.split()) for name in texts)
    assert {group for group, _ in NAMES} == {*GROUPS, "whole"}


def test_no_name_is_changed() -> None:
    assert changed([name for _, name in NAMES]) == []


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_no_name_made_of_parts_of_two_groups_is_changed(seed: int) -> None:
    """A family of two peoples, or of two countries."""
    rng = random.Random(seed)
    first, second = ([rng.choice(NAMES)[1].split(" ") for _ in range(1500)] for _ in range(2))
    mixed = [" ".join([*a, b[-1]]) for a, b in zip(first, second, strict=True) if b[-1][:1].isupper()]
    assert changed(mixed) == []


FIXED = (
    "Y Bhăm Êban|H'Hen Niê|Siu Blơng|Ksor H'Nia|Nay Hyơih|Đinh Núp|A Sút|K'Brể|Ka Plin|Chamaléa Châu|Hồ Pả Xuôi|"
    "Bríu Liếc|Giàng A Páo|Lò Thị Ún|Bàn Láo Chẳn|Vòng A Cún|Thạch Sô-Phia|Danh Thị Riêng|Sừng Gió Xá|Moong Thị Inh|"
    "Voòng Sau Phát|Y Rơ-ôh Niê|Noé Núñez|Zoé de la Cruz|María da Silva|Jean-Luc d'Étienne|McDonald|DeVito|O'Neill|"
    "van 't Hoff|Høgni á Rógvi|Thomas à Kempis|Smith III|Nguyễn Văn An IV|Niccolò Forlì|Loïc Châtelet|Müller Weiß|"
    "Ángel Íñigo|Þór Guðmundsdóttir|Łukasz Wałęsa|İlkay Yıldız|Lý Lì|Quì Giò|Na|Nguyễn T. An|An Danh|Võ Danh|Khổng Có"
)


@pytest.mark.parametrize("name", FIXED.split("|"))
def test_a_name_known_by_heart_stays(one_engine, name: str) -> None:
    assert (
        one(one_engine, f"select {DUCKDB.call('person_name', ['x'])} from (select $1::varchar as x)", [name])[0] == name
    )


@pytest.fixture(scope="module")
def one_engine():
    with connect(threads=1) as con:
        yield con


def test_whole_names_are_told_by_no_group() -> None:
    assert not any("{" in name for name in WHOLE.split("|"))
