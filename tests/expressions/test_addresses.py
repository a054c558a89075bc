"""An address names a unit only where its kind, name, district, province and date leave one."""

from __future__ import annotations

import pytest

OLD, NEW = "2020-01-01", "2026-01-01"


@pytest.mark.parametrize(
    "text",
    [
        "Phường Trúc Bạch, Quận Ba Đình, Thành phố Hà Nội",
        "Số 5 phố X, P. Trúc Bạch, Q. Ba Đình, TP. Hà Nội, Việt Nam",
        "P.Trúc Bạch,Q.Ba Đình,TP.Hà Nội",
        "PHƯỜNG TRÚC BẠCH QUẬN BA ĐÌNH HÀ NỘI".replace(" HÀ NỘI", ", HÀ NỘI"),
        "phuong truc bach, quan ba dinh, ha noi",
        "Phường Trúc Bạch - Quận Ba Đình - Thành phố Hà Nội",
        "  Phường  Trúc Bạch ;  Quận Ba Đình ; Hà Nội. ",
        "Phu\u031bo\u031b\u0300ng Tru\u0301c Ba\u0323ch, Hà Nội",
        "Thị trấn Khác, Phường Trúc Bạch, Hà Nội",
    ],
)
def test_all_usual_ways_of_writing_an_address_are_read(ask, text: str) -> None:
    assert ask("address_commune", [(text, None, OLD)]) == ["00004"]


@pytest.mark.parametrize(
    "text",
    [
        "Trúc Bạch, Ba Đình, Hà Nội",
        "Xã Trúc Bạch, Hà Nội",
        "Phường Trúc Bạch, Quận 3, Hà Nội",
        "Phường Trúc Bạch, Tỉnh Hà Giang",
        "Phường Trúc Bạch, Quận Ba Đình",
        "Phường 1, Hà Nội",
        "xa tan hoa, huyen quan son, ha noi",
        "Phường Trúc Bạch, Quận Ba Đình, Quận Ba Đình, Hà Nội",
    ],
)
def test_what_fits_no_unit_or_several_is_null(ask, text: str) -> None:
    assert ask("address_commune", [(text, None, OLD)]) == [None]


def test_marks_tell_units_apart_that_share_their_letters(ask) -> None:
    texts = ["Xã Tân Hòa, Huyện Quan Sơn, Hà Nội", "XÃ TÂN HÓA, HUYỆN QUAN SƠN, HÀ NỘI"]
    assert ask("address_commune", [(text, None, OLD) for text in texts]) == ["00004", "00097"]


def test_a_unit_of_the_name_of_its_district_is_read(ask) -> None:
    assert ask("address_commune", [("Phường Sơn Tây, Thị xã Sơn Tây, Hà Nội", None, OLD)]) == ["00097"]


def test_a_province_beside_the_address_stands_in_for_one_in_it(ask) -> None:
    text = "Số 5, Phường Phúc Xá, Quận Ba Đình"
    assert ask("address_commune", [(text, "01", OLD), (text, "02", OLD), (text, None, OLD)]) == ["00097", None, None]


def test_a_date_and_a_district_tell_old_units_from_new_ones(ask) -> None:
    new, old = "Phường Hồng Hà, Hà Nội", "Phường Khác, Quận 3, Hà Nội"
    assert ask("address_commune", [(new, None, NEW), (new, None, OLD)]) == ["00097", None]
    assert ask("address_commune", [(old, None, NEW), (old, None, OLD)]) == ["00004", "00004"]
