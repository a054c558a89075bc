"""Names: a plain one is never changed, a damaged one comes back, and what only looks damaged stays as it is.

The tables of the old encodings here are written letter by letter, apart from the engine's, from TCVN 5712:1993 VN3 and
the VNI charts; where the system has iconv, the first is checked against it too.
"""

from __future__ import annotations

import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapping.functions.encodings import TCVN3_FROM, TCVN3_TO, THRESHOLD
from mapping.functions.name_cleaning import answers
from motlan.expressions import DUCKDB, FUNCTIONS, connect
from simulators import names as generator

BATCHES = settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

FAMILY = (  # noqa: SIM905
    "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đào Đoàn Trịnh Mai Quách Niê Bế"
).split()
MIDDLE = (  # noqa: SIM905
    "Văn Thị Hữu Đức Ngọc Minh Thanh Kim Thùy Xuân Bá Quốc Như Hồng Đình Diệu Khánh Tường Nhật Quý Mỹ"
).split()
GIVEN = (  # noqa: SIM905
    "An Ánh Ái Bằng Bình Châu Chiến Cường Dũng Duyên Đạt Điệp Giang Hà Hạnh Hằng Hiếu Hiển Hòa Hoàn Huệ Hưng "
    "Hương Huỳnh Khỏe Khuê Kiều Lan Liên Linh Loan Luân Lương Mẫn Mơ Nga Nghĩa Nguyệt Nhàn Nữ Oanh Phượng "
    "Phúc Quỳnh Quyết Sơn Sỹ Tâm Thảo Thắng Thơ Thúy Thủy Thuyền Tiến Toàn Trí Trúc Tuấn Tuyết Tú Uyên Ước "
    "Vân Việt Vũ Vỹ Xoan Yến Ý Yên"
).split()
NAME = st.builds(
    lambda family, middle, given: " ".join((family, *middle, given)),
    st.sampled_from(FAMILY),
    st.lists(st.sampled_from(MIDDLE), max_size=2),
    st.sampled_from(GIVEN),
)
NAMES = st.lists(NAME, min_size=80, max_size=80)
ELSEWHERE = (  # noqa: SIM905
    "Müller Schröder Weiß Köhler Jürgens Groß Hölderlin Möbius Søren Bjørn Ødegård Åkerblom Sjöberg Håkansson Kjær "
    "Gómez Núñez Peña Muñoz Ibáñez García Álvarez Gutiérrez Isaác Rafaél João São Gonçalves Simões Magalhães Araújo "
    "Leão Galeão Corrêa François Renée Zoë Zoé Noël Chloé Hélène Gaëlle Anaïs Loïc Benoît Jérôme Daniël Michaël "
    "Raphaèle Israèl Naïm Haïm Héloïse Aïcha Saül Saint-Saëns Dvořák Čapek Škoda Krejčí Růžička Wałęsa Łukasz "
    "Kościuszko Żółkiewski Öztürk Şahin Gül Çelik Özgür Yıldız Erdoğan Nagy Szőke Győr Beáta Körösi Ștefan Bălan "
    "Brâncuși Đorđević Šarić Živković Ragnheiður Guðmundur Æsa Björk Siân Seán Máire Bríd Nicolò Donà Mosè Cantù "
    "O'Neill Anna Maria José Peter Van De"
).split()
MARKED = NAMES.map(lambda names: ["Nguyễn Văn " + name for name in names])

_TONES = {"": 0, "\u0300": 1, "\u0309": 2, "\u0303": 3, "\u0301": 4, "\u0323": 5}
_TCVN3_ROWS = {
    "a": "aµ¶·¸¹", "ă": "¨»¼½¾Æ", "â": "©ÇÈÉÊË", "e": "eÌÎÏÐÑ", "ê": "ªÒÓÔÕÖ", "i": "i×ØÜÝÞ", "o": "oßáâãä",
    "ô": "«åæçèé", "ơ": "¬êëìíî", "u": "uïñòóô", "ư": "\u00adõö÷øù", "y": "yúûüýþ",
}  # fmt: skip
_TCVN3_CAPITALS = dict(zip("ĂÂÊÔƠƯĐđ", "¡¢£¤¥¦§®", strict=True))
_VNI_MARKS = {"": ("", "ø", "û", "õ", "ù", "ï"), "^": "âàåãáä", "(": "êèúüéë"}
_VNI_ROWS = {"ă": ("a", "("), "â": ("a", "^"), "ê": ("e", "^"), "ô": ("o", "^"), "ơ": ("ô", ""), "ư": ("ö", "")}


def _parts(letter: str) -> tuple[str, int]:
    """Take a letter apart: the vowel with its quality, and the number of its tone."""
    apart = unicodedata.normalize("NFD", letter)
    tone = next((mark for mark in apart if mark in _TONES and mark), "")
    return unicodedata.normalize("NFC", apart.replace(tone, "")) if tone else letter, _TONES[tone]


def tcvn3(name: str) -> str:
    def one(letter: str) -> str:
        vowel, tone = _parts(letter)
        if vowel.lower() in _TCVN3_ROWS and tone:
            return _TCVN3_ROWS[vowel.lower()][tone]
        return _TCVN3_CAPITALS.get(vowel) or (_TCVN3_ROWS.get(vowel) or letter)[0]

    return "".join(map(one, name))


def vni(name: str) -> str:
    def one(letter: str) -> str:
        if letter in "đĐ":
            return "ñ" if letter == "đ" else "Ñ"
        vowel, tone = _parts(letter)
        small = vowel.lower()
        if small == "i":
            coded = "iìæóíò"[tone]
        elif small == "y" and tone == 5:
            coded = "î"
        else:
            base, quality = _VNI_ROWS.get(small, (small, ""))
            coded = base + _VNI_MARKS[quality][tone] if small in "aăâeêoôơuưy" else small
        return coded if vowel == small else coded.upper()

    return "".join(map(one, name))


def viqr(name: str) -> str:
    marks = {
        "\u0300": "`",
        "\u0309": "?",
        "\u0303": "~",
        "\u0301": "'",
        "\u0323": ".",
        "\u0302": "^",
        "\u0306": "(",
        "\u031b": "+",
    }
    spelt = name.replace("đ", "dd").replace("Đ", "DD")
    quality_first = "".join(
        unicodedata.normalize("NFD", _parts(letter)[0])
        + next((m for m, n in _TONES.items() if n and n == _parts(letter)[1]), "")
        for letter in spelt
    )
    return "".join(marks.get(char, char) for char in quality_first)


def encoded_twice(name: str, charset: str) -> str:
    raw = name.encode()
    if charset == "latin-1":
        return raw.decode("latin-1")
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in raw)


def new_style(name: str) -> str:
    """Put the tone marks of open oa, oe, uy on the second vowel."""
    words = []
    for word in name.split(" "):
        (first, tone), second = _parts(word[-2:-1]), word[-1:]
        if (first.lower() + second in ("oa", "oe", "uy")) and tone and not word.lower().startswith("qu"):
            mark = next(m for m, n in _TONES.items() if n == tone)
            word = word[:-2] + first + unicodedata.normalize("NFC", second + mark)
        words.append(word)
    return " ".join(words)


@BATCHES
@given(names=NAMES)
def test_a_canonical_name_is_never_changed(ask, names: list[str]) -> None:
    assert ask("person_name", [(name,) for name in names]) == names


def test_no_single_common_word_is_taken_for_a_damaged_one(ask) -> None:
    words = sorted({*FAMILY, *MIDDLE, *GIVEN})
    assert ask("person_name", [(word,) for word in words]) == words
    pairs = [f"{first} {second}" for first in FAMILY for second in GIVEN]
    assert ask("person_name", [(pair,) for pair in pairs]) == pairs


@pytest.mark.parametrize(
    "name",
    [
        "Müller François", "Israël Noël", "José García", "Øystein Åberg", "Zoë Brontë", "Jürgen Strauß", "O'Neil Seán",
        "H'Hen Niê", "Y Bhăm Kbuôr", "K'Sor H'Jơ", "Rơ Châm Ngơn", "Siu Ayŭn", "Kpă Y-Nguyên", "Ma Văn Páo", "Giàng A Sử",
        "Lầu Y Mỷ", "Quách Gìa", "Thạch Sa Phia", "Lý Lí", "Mã La", "Trà My Ý", "Vi Thị Uyên", "Tạ Đình Đề", "Nguyễn Thị A.",
    ],
)  # fmt: skip
def test_unusual_plain_names_stay(ask, name: str) -> None:
    assert ask("person_name", [(name,)]) == [name]


@BATCHES
@given(
    names=st.lists(
        st.lists(st.sampled_from(ELSEWHERE), min_size=1, max_size=3).map(" ".join), min_size=300, max_size=300
    )
)
def test_a_plain_name_of_another_country_is_never_changed(ask, names: list[str]) -> None:
    assert ask("person_name", [(name,) for name in names]) == names


def test_no_plain_name_that_the_generator_makes_is_changed_or_taken_for_an_encoded_one(ask) -> None:
    middles = [middle for _, middle, _ in generator.middles()]
    givens = [given for _, given, _ in generator.givens()]
    names = [
        f"{family} {middles[(n * 7 + k) % len(middles)]} {givens[(n * 13 + k * 29) % len(givens)]}"
        for n, (_, family, _) in enumerate(generator.families())
        for k in range(25)
    ]
    names += [f"{first} {last}" for first in middles for last in givens]
    calls = [(name,) for name in names]
    assert len(names) > 10_000
    assert ask("person_name", calls) == names
    assert set(ask("name_encoding", calls)) == {None}
    assert set(ask("encoding_confidence", calls)) == {0.0}


@BATCHES
@given(names=MARKED)
@pytest.mark.parametrize("encode", [tcvn3, vni, viqr], ids=lambda encode: encode.__name__)
def test_an_old_encoding_is_named_with_a_confidence_that_undoes_it(ask, encode, names: list[str]) -> None:
    damaged = [(encode(name),) for name in names]
    assert set(ask("name_encoding", damaged)) == {encode.__name__}
    assert min(ask("encoding_confidence", damaged)) >= float(THRESHOLD)


def test_a_name_has_an_encoding_exactly_where_the_confidence_reaches_the_threshold(ask) -> None:
    names = [f"{family} {middle} {given}" for family in FAMILY[:5] for middle in MIDDLE[:4] for given in GIVEN[::9]]
    encoders = (tcvn3, vni, viqr, lambda name: encoded_twice(name, "cp1252"), str)
    calls = [(text,) for text in [*ELSEWHERE, *(encode(name) for encode in encoders for name in names)]]
    sure = [confidence >= float(THRESHOLD) for confidence in ask("encoding_confidence", calls)]
    assert [encoding is not None for encoding in ask("name_encoding", calls)] == sure
    assert any(sure) and not all(sure)


@BATCHES
@given(names=NAMES)
def test_case_space_and_invisible_characters_are_mended(ask, names: list[str]) -> None:
    damages = (
        str.upper,
        str.lower,
        lambda name: f"  {name.replace(' ', '   ')}\t",
        lambda name: name.replace(" ", "\u00a0"),
        lambda name: f"\ufeff{name[:2]}\u200b{name[2:]}\u200d",
        lambda name: name.replace(" ", "\u2003"),
        new_style,
        lambda name: new_style(name).upper(),
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFD", new_style(name.upper())),
    )
    damaged = [(damage(name),) for damage in damages for name in names]
    assert ask("person_name", damaged) == names * len(damages)


@BATCHES
@given(names=NAMES)
@pytest.mark.parametrize("charset", ["cp1252", "latin-1"])
def test_utf8_encoded_twice_comes_back(ask, charset: str, names: list[str]) -> None:
    damaged = [
        (encoded_twice(unicodedata.normalize(form, name), charset),) for form in ("NFC", "NFD") for name in names
    ]
    assert ask("person_name", damaged) == names * 2


@BATCHES
@given(names=MARKED)
@pytest.mark.parametrize("encode", [tcvn3, vni, viqr], ids=lambda encode: encode.__name__)
def test_old_encodings_come_back(ask, encode, names: list[str]) -> None:
    damaged = [(encode(written),) for name in names for written in (name, name.upper())]
    assert ask("person_name", damaged) == [name for name in names for _ in range(2)]


@BATCHES
@given(names=NAMES)
@pytest.mark.parametrize("encode", [tcvn3, vni, viqr], ids=lambda encode: encode.__name__)
def test_what_is_not_repaired_is_still_found_or_is_a_plausible_name(ask, encode, names: list[str]) -> None:
    """Some damaged names read as plain ones; the share that no repair touches stays small."""
    repaired = ask("person_name", [(encode(name),) for name in names])
    changed = [(name, got) for name, got in zip(names, repaired, strict=True) if encode(name) != name]
    assert sum(name != got for name, got in changed) <= max(9, len(changed) * 0.2)


@pytest.mark.skipif(shutil.which("iconv") is None, reason="needs iconv")
def test_the_table_of_tcvn3_is_the_systems_own() -> None:
    raw = TCVN3_FROM.encode("latin-1")
    done = subprocess.run(["iconv", "-f", "TCVN", "-t", "UTF-8"], input=raw, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this iconv does not know TCVN")
    assert unicodedata.normalize("NFC", done.stdout.decode()) == TCVN3_TO


@BATCHES
@given(names=NAMES)
def test_all_spellings_of_a_name_share_its_key(ask, names: list[str]) -> None:
    keys = ask("name_key", [(name,) for name in names])
    bare = [unicodedata.normalize("NFD", n).replace("đ", "d").replace("Đ", "D") for n in names]
    bare = ["".join(c for c in name if not unicodedata.combining(c)) for name in bare]
    assert keys == [name.lower().replace("y", "i") for name in bare]
    for spelling in (str.upper, new_style, lambda name: unicodedata.normalize("NFD", name)):
        assert ask("name_key", [(spelling(name),) for name in names]) == keys
    assert ask("given_name_key", [(name,) for name in names]) == [key.split()[-1] for key in keys]
    assert ask("contains_only_letters", [(name,) for name in names]) == [True] * len(names)


@BATCHES
@given(names=NAMES)
def test_a_toneless_name_keeps_its_vowels(ask, names: list[str]) -> None:
    expected = ["".join(_parts(letter)[0] for letter in name.lower()) for name in names]
    assert ask("name_toneless", [(name,) for name in names]) == expected


def test_a_relation_of_names_is_answered_as_name_by_name() -> None:
    damages = (tcvn3, vni, viqr, lambda name: encoded_twice(name, "cp1252"), new_style, str.upper, str.lower)
    names = [f"{family} {given}" for family in FAMILY[:6] for given in GIVEN[::4]]
    damaged = [example[0][0] for example in FUNCTIONS["person_name"].examples]
    damaged += [*ELSEWHERE, *(damage(name) for damage in damages for name in names)]
    with connect() as engine:
        engine.execute("create temp table odd as select distinct unnest($1::varchar[]) as given", [damaged])
        one_by_one = f"select given, {DUCKDB.call('person_name', ['given'])} from odd order by all"
        answered = engine.execute(f"from ({answers('odd')}) order by all").fetchall()
        assert answered == engine.execute(one_by_one).fetchall()
    assert len(answered) == len(set(damaged))
