"""Every function does what its examples say, and the numbers and dates agree with independent computations."""

from __future__ import annotations

import datetime as dt
import random
import re
import unicodedata
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdnum.vn import mst

from mapping.functions.identifier_cleaning import BIRTH_PROVINCES
from motlan.expressions import DUCKDB, FUNCTIONS, Function, connect, fill, one

BATCHES = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ONCE = settings(BATCHES, max_examples=1)
"""Where an example is many values already: a query that is long takes longer to plan than to answer."""
NASTY = st.text(
    st.one_of(
        st.sampled_from(
            "aAâÂăĂđĐeêiIoôơuưyỳÝnNgGhHtT .'-`^~+(?/\u00a0\u00ad\u200b\ufeff\u0301\u0303\u031b\u0085\x00\t"
        ),
        st.sampled_from("ÃÄÆá»º¡¢£¤¥¦§¨©ª«¬®µ¶¹¼¾ÇÖÞßäåæçëïñøûüþ‘’“”…Ðð0123456789"),
        st.characters(codec="utf-8"),
    ),
    max_size=24,
)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_every_example_of_the_catalogue_holds(function: Function, ask) -> None:
    answers = ask(function.name, [arguments for arguments, _ in function.examples])
    assert list(zip(function.examples, answers, strict=True)) == [(e, e[1]) for e in function.examples]


def test_every_function_is_documented_and_has_examples_of_an_answer_and_of_a_null() -> None:
    for function in FUNCTIONS.values():
        assert len(function.doc) > 10, function.name
        answers = [answer for _, answer in function.examples]
        assert None in answers and any(answer is not None for answer in answers), function.name


def test_the_dialect_has_exactly_the_functions_of_the_catalogue() -> None:
    assert set(DUCKDB.templates) == set(FUNCTIONS)


def test_no_template_casts_in_a_way_that_could_raise_and_quote_a_value() -> None:
    for name, template in DUCKDB.templates.items():
        assert not re.search(r"(?<!try_)\bcast\(|::", template, re.IGNORECASE), name


CLEANERS = [function for function in FUNCTIONS.values() if function.idempotent]
NUMBERS = ("personal_id", "old_identity_number", "tax_code", "social_code", "health_card")


def _ways(function: Function) -> list[tuple[object, ...]]:
    """Return what may stand beside a cleaner's first argument: of a format, every choice."""
    formats = [parameter.choices for parameter in function.parameters[1:] if parameter.choices]
    return [(choice,) for choice in formats[0]] if formats else [function.examples[0][0][1:]]


@pytest.mark.parametrize("function", CLEANERS, ids=lambda f: f.name)
@BATCHES
@given(texts=st.lists(NASTY, min_size=100, max_size=100))
def test_cleaners_are_idempotent(function: Function, ask, texts: list[str]) -> None:
    given = [str(arguments[0]) for arguments, _ in function.examples if arguments[0] is not None]
    for rest in _ways(function):
        once = ask(function.name, [(text, *rest) for text in [*texts, *given]])
        again = ask(function.name, [(text, *rest) for text in once])
        assert again == once


@pytest.mark.parametrize("name", ["text", "person_name", "partial_date", "fixed_digits", *NUMBERS])
@pytest.mark.parametrize("padding", ["   ", "\u00a0", "\t", "\u200b", "\ufeff", "\u3000"])
def test_padding_changes_nothing_and_padding_alone_is_null(ask, name: str, padding: str) -> None:
    function = FUNCTIONS[name]
    rest = function.examples[0][0][1:]
    answers = {a[0]: answer for a, answer in function.examples if answer is not None and a[1:] == rest}
    assert ask(name, [(f"{text}{padding}", *rest) for text in answers]) == list(answers.values())
    assert ask(name, [(f"{padding}{padding}", *rest), ("", *rest)]) == [None, None]


@BATCHES
@given(numbers=st.lists(st.integers(10**8, 10**13), min_size=50, max_size=50))
def test_what_a_spreadsheet_made_of_a_number_is_told_and_never_read(ask, numbers: list[int]) -> None:
    shown = [f"{number:.{digits}E}" for number in numbers for digits in (0, 2, 5, 9)]
    shown += [text.replace(".", ",") for text in shown] + [text.lower() for text in shown] + ["#N/A", "#REF!", "######"]
    assert set(ask("spreadsheet_damaged", [(text,) for text in shown])) == {True}
    assert set(ask("spreadsheet_damaged", [(f"{number:012d}",) for number in numbers])) == {False}
    for cleaner in NUMBERS:
        assert set(ask(cleaner, [(text,) for text in shown])) == {None}, cleaner


def test_a_spreadsheets_day_number_is_read_within_its_five_digits(ask) -> None:
    numbers = [10_000, 25_569, 36_526, 45_000, 99_999]
    days = [(dt.date(1899, 12, 30) + dt.timedelta(number)).isoformat() for number in numbers]
    assert ask("partial_date", [(f"{number}", "dmy") for number in numbers]) == days
    assert ask("partial_date", [(text, "dmy") for text in ("9999", "2200", "09999", "-36526")]) == [None] * 4


@pytest.mark.slow
@BATCHES
@given(days=st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31)), min_size=100, max_size=100))
def test_an_unknown_order_keeps_what_is_certain_and_both_readings(ask, days: list[dt.date]) -> None:
    for pattern in ("%d/%m/%Y", "%m/%d/%Y", "%d%m%Y", "%m.%d.%Y"):
        texts = [day.strftime(pattern) for day in days]
        read = ask("partial_date", [(text, "either") for text in texts])
        candidates = ask("date_candidates", [(text,) for text in texts])
        for day, got, both in zip(days, read, candidates, strict=True):
            if day.day > 12 or day.day == day.month:
                assert (got, both) == (day.isoformat(), None)
            else:
                assert got == f"{day.year}"
                assert sorted(both.split(";")) == sorted([f"{day:%Y-%m-%d}", f"{day:%Y-%d-%m}"])


def test_a_declared_order_is_never_held_open(ask) -> None:
    texts = ["03/04/1990", "03041990", "1990-03-04", "19900304"]
    for order in ("dmy", "ymd", "iso"):
        assert all(len(read) == 10 for read in ask("partial_date", [(text, order) for text in texts]))


def test_numbers_are_judged_as_stdnum_judges_them(ask) -> None:
    rng = random.Random(5)
    numbers = [f"{rng.randrange(10**10):010d}" for _ in range(1500)]
    numbers += [n[:9] + str(d) for n in numbers[:100] for d in range(10)]
    numbers += [n + rng.choice(["000", "001", "123"]) for n in numbers[-300:]]
    answers = ask("is_tax_code", [(n,) for n in numbers])
    assert answers == [mst.is_valid(n) for n in numbers]
    assert any(answers) and not all(answers)


def test_a_lost_zero_comes_back_for_each_of_the_63_birth_provinces_and_for_no_other_code(ask) -> None:
    codes = [f"{n:02d}" for n in range(100)]
    answers = ask("personal_id", [(f"{code}090000001",) for code in codes])
    known = set(BIRTH_PROVINCES.split())
    assert len(known) == 63
    assert answers == [f"0{code}090000001" if code in known else None for code in codes]


def test_year_and_sex_of_a_personal_id_follow_the_century_digit(ask) -> None:
    ids = [f"001{g}{yy:02d}000001" for g in range(4) for yy in (0, 45, 99)]
    assert ask("personal_id_year", [(i,) for i in ids]) == [
        (1900 if g < 2 else 2000) + yy for g in range(4) for yy in (0, 45, 99)
    ]
    assert ask("personal_id_sex", [(i,) for i in ids]) == [
        "male" if g % 2 == 0 else "female" for g in range(4) for _ in range(3)
    ]


@BATCHES
@given(days=st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31)), min_size=30, max_size=30))
@pytest.mark.slow
def test_a_day_is_read_alike_from_every_way_of_writing_it(ask, days: list[dt.date]) -> None:
    expected = [day.isoformat() for day in days]
    for pattern, order in (
        ("%d/%m/%Y", "dmy"),
        ("%d-%m-%Y", "iso"),
        ("%d.%m.%Y", "ymd"),
        ("%Y-%m-%d", "dmy"),
        ("%Y/%m/%d", "iso"),
        ("%Y%m%d", "ymd"),
        ("%Y%m%d", "iso"),
        ("%d%m%Y", "dmy"),
        ("%Y-%m-%dT00:00:00Z", "iso"),
    ):
        assert ask("partial_date", [(day.strftime(pattern), order) for day in days]) == expected, pattern
    unpadded = [f"{day.day}/{day.month}/{day.year}" for day in days]
    assert ask("partial_date", [(text, "dmy") for text in unpadded]) == expected


def test_days_that_no_calendar_has_are_null(ask) -> None:
    impossible = ["31/04/1990", "29/02/2023", "32/01/1990", "01/13/1990", "0/0/0000", "31/11/1990", "99/99/1990"]
    assert ask("partial_date", [(text, "dmy") for text in impossible]) == [None] * len(impossible)
    bare = ["19900230", "19901301", "00000000", "99999999"]
    assert ask("partial_date", [(text, "ymd") for text in bare]) == [None] * len(bare)


@BATCHES
@given(
    moments=st.lists(
        st.datetimes(
            dt.datetime(1950, 1, 1),
            dt.datetime(2090, 1, 1),
            timezones=st.integers(-14, 14).map(lambda h: dt.timezone(dt.timedelta(hours=h))),
        ),
        min_size=30,
        max_size=30,
    )
)
def test_moments_are_those_of_python_in_utc_and_sort_as_texts(ask, moments: list[dt.datetime]) -> None:
    texts = ask("moment", [(moment.isoformat(),) for moment in moments])
    assert texts == [m.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for m in moments]
    assert sorted(texts) == ask("moment", [(moment.isoformat(),) for moment in sorted(moments)])


def test_agreement_of_dates_is_symmetric(ask) -> None:
    dates = ["1945", "1945-05", "1945-05-01", "1945-05-02", "1946", None]
    pairs = [(a, b) for a in dates for b in dates]
    assert ask("dates_agree", pairs) == ask("dates_agree", [(b, a) for a, b in pairs])


@pytest.mark.parametrize("form", ["dmy", "ymd", "iso", "either"])
def test_a_date_that_is_settled_at_a_glance_is_what_its_steps_say(form: str) -> None:
    days = [dt.date(1896, 1, 1) + dt.timedelta(days=n) for n in range(0, 60_000, 7)] + [dt.date(2000, 2, 29)]
    texts = [day.strftime(way) for day in days for way in ("%Y-%m-%d", "%Y%m%d", "%d/%m/%Y", "%d%m%Y", "%Y")]
    texts += ["1990-02-30", "19900431", "31/09/1990", "1790", "2199", "20011990"]
    literals = ("x", DUCKDB.literal(form))
    plain, told = fill(DUCKDB.plain["partial_date"], literals), DUCKDB.call("partial_date", literals)
    staged = DUCKDB.answers["partial_date"]("(select x as given from given)", literals[1:])
    with connect() as con:
        con.register("given", pa.table({"x": texts}))
        settled, wrong, otherwise = one(
            con,
            f"""select count(*) filter (glance), count(*) filter (glance and plain is distinct from told),
                       count(*) filter (made is distinct from told)
                from (select x, {fill(DUCKDB.costly["partial_date"], literals)} as glance, {plain} as plain, {told} as told
                      from given) join ({staged}) on given = x""",
        )
    assert (settled > len(texts) / 3, wrong, otherwise) == (True, 0, 0)


HERE = "Asia/Ho_Chi_Minh"


@ONCE
@given(days=st.lists(st.dates(dt.date(1930, 1, 1), dt.date(2030, 12, 31)), min_size=60, max_size=60))
def test_a_days_midnight_told_in_any_zone_is_that_day_again(ask, days: list[dt.date]) -> None:
    expected = [day.isoformat() for day in days]
    local = [dt.datetime.combine(day, dt.time(0, 30), ZoneInfo(HERE)) for day in days]
    moments = [moment.astimezone(dt.UTC) for moment in local]
    written = [
        text
        for moment in moments
        for text in (
            moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            moment.strftime("%Y-%m-%d %H:%M:%S+00"),
            moment.strftime("%d/%m/%Y %H:%M:%S +00:00"),
            moment.strftime("%Y%m%dT%H%M%SZ"),
            moment.astimezone(dt.timezone(dt.timedelta(hours=-5))).isoformat(),
        )
    ]
    read = ask("partial_date", [(text, "dmy", HERE) for text in written])
    assert read == [day for day in expected for _ in range(5)]
    assert set(ask("partial_date", [(text, "dmy") for text in written])) == {None}


@ONCE
@given(days=st.lists(st.dates(dt.date(1950, 1, 1), dt.date(2030, 12, 31)), min_size=40, max_size=40))
def test_a_spreadsheets_number_of_a_moved_midnight_is_the_day_before_it_moved(ask, days: list[dt.date]) -> None:
    midnights = [dt.datetime.combine(day, dt.time(), ZoneInfo(HERE)).astimezone(dt.UTC) for day in days]
    numbers = [(moment.replace(tzinfo=None) - dt.datetime(1899, 12, 30)) / dt.timedelta(days=1) for moment in midnights]
    texts = [f"{number:.{digits}f}" for digits in (5, 6, 9) for number in numbers]
    assert ask("partial_date", [(text, "iso", HERE) for text in texts]) == [day.isoformat() for day in days] * 3


@ONCE
@given(days=st.lists(st.dates(dt.date(1900, 1, 2), dt.date(2099, 12, 31)), min_size=30, max_size=30))
def test_a_day_is_read_in_words_and_in_the_signs_of_other_keyboards(ask, days: list[dt.date]) -> None:
    expected = [day.isoformat() for day in days]
    wide = {ord(str(digit)): chr(0xFF10 + digit) for digit in range(10)}
    ways = (
        lambda day: f"ngày {day.day} tháng {day.month} năm {day.year}",
        lambda day: f"NGÀY {day:%d} THÁNG {day:%m} NĂM {day.year}.",
        lambda day: unicodedata.normalize("NFD", f"Ngày {day:%d} tháng {day:%m} năm {day.year}"),
        lambda day: f"{day.day} thg {day.month}, {day.year}",
        lambda day: f"{day:%d-%b-%Y}",
        lambda day: f"{day:%d%b%Y}".upper(),
        lambda day: f"{day:%B} {day.day}, {day.year}",
        lambda day: f"{day:%a, %d %b %Y} 00:00:00 GMT",
        lambda day: f"{day:%d} / {day:%m} / {day.year}",
        lambda day: f"{day:%d\u2013%m\u2011%Y}",
        lambda day: f"{day:%d/%m/%Y}".translate(wide),
        lambda day: f'="{day:%d/%m/%Y}"',
        lambda day: f"{day:%Y%m%d}.0",
        lambda day: f"{day:%Y-%m-%d}+07:00",
        lambda day: f"{day:%Y-%m-%d}Z",
    )
    read = ask("partial_date", [(write(day), "ymd") for write in ways for day in days])
    assert read == expected * len(ways)


def test_a_spreadsheets_day_nought_is_no_date_and_a_known_year_stays(ask) -> None:
    nought = [
        "00/01/1900",
        "0/1/1900",
        "1/0/1900",
        "1900-01-00",
        "1900-01-00 00:00:00",
        "19000100",
        "1899-12-30",
        "0",
        "0.0",
    ]
    assert ask("partial_date", [(text, "ymd") for text in nought]) == [None] * len(nought)
    assert ask("partial_date", [(text, "dmy") for text in ("00/00/1945", "00/00/1900", "1900")]) == [
        "1945",
        "1900",
        "1900",
    ]


@ONCE
@given(numbers=st.lists(st.integers(10**11, 10**12 - 1).map("{:012d}".format), min_size=50, max_size=50))
def test_a_number_passes_what_spreadsheets_and_keyboards_do_to_it(ask, numbers: list[str]) -> None:
    digits = [{ord(str(digit)): chr(zero + digit) for digit in range(10)} for zero in (0xFF10, 0x660, 0x17E0)]
    cleaners = {"personal_id": 12, "tax_code": 10, "social_code": 10, "old_identity_number": 9, "health_card": 12}
    for cleaner, length in cleaners.items():
        plain = [number[:length] for number in numbers]
        ways = (
            '="{}"'.format,
            "'{}".format,
            "={}".format,
            "\u201c{}\u201d".format,
            "{}.0".format,
            "{}.0000".format,
            "{},00".format,
            "\u200b{}\u00a0".format,
            *(lambda number, table=table: number.translate(table) for table in digits),
        )
        assert ask(cleaner, [(spoil(number),) for spoil in ways for number in plain]) == plain * len(ways), cleaner


@ONCE
@given(numbers=st.lists(st.integers(10**9, 10**10 - 1), min_size=50, max_size=50))
def test_what_is_cut_short_behind_a_number_never_makes_another(ask, numbers: list[int]) -> None:
    behind = ("-01", "-1", " 01", ".01", ",5", ".25", " - 12", "\u201301")
    for cleaner in ("personal_id", "tax_code", "social_code", "old_identity_number"):
        assert set(ask(cleaner, [(f"{number}{rest}",) for number in numbers for rest in behind])) == {None}
    assert set(ask("personal_id", [(f"{number % 10**8}.0000",) for number in numbers])) == {None}


UNKNOWN = ["NULL", "n/a", "#N/A", "(null)", "undefined", "NaN", "None", "nil", "-", "---", "?", ".", "\\N", "Không rõ", "CHƯA RÕ",
           "khong co", "Chưa cập nhật", "không xác định", "chua_biet"]  # fmt: skip


@pytest.mark.parametrize("name", ["text", "person_name", "partial_date", "fixed_digits", *NUMBERS])
def test_a_word_for_unknown_is_null_in_every_cleaner(ask, name: str) -> None:
    rest = FUNCTIONS[name].examples[0][0][1:]
    texts = [change(text) for change in (str, str.upper, str.lower, " {}\u00a0".format) for text in UNKNOWN]
    assert [text for text, made in zip(texts, ask(name, [(text, *rest) for text in texts]), strict=True) if made] == []
