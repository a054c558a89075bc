"""Functions on units of administration and addresses. The examples speak of code lists that the tests bring."""

from __future__ import annotations

from mapping.functions.place_lookups import PLACES
from motlan.expressions.functions import Function, Package, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "commune",
        parameters("x, moment"),
        "The commune of July 2025 (Resolution 202/2025/QH15; 3,321 communes) that a code stands for: a record older "
        "than the reform speaks of the old unit, and a unit that was divided gives its default successor; a newer "
        "record speaks of the new unit, or of an old one where no new unit has the code.",
        (
            (("00001", "2020-01-01T00:00:00.000000Z"), "00097"),
            ((" 00004 ", "2026-01-01T00:00:00.000000Z"), "00004"),
            (("00001", "2026-01-01T00:00:00.000000Z"), "00097"),
            (("4", "2026-01-01T00:00:00.000000Z"), None),
            ((None, None), None),
        ),
        pattern=r"\d{5}",
        storable=True,
        code_lists=("communes",),
    ),
    Function(
        "commune_candidates",
        parameters("x, moment"),
        "All the communes of July 2025 among which the unit was divided that a code stands for at a moment, `;` between, "
        "`commune`'s default first. Null where there is one or none.",
        (
            (("00010", "2020-01-01T00:00:00.000000Z"), "00097;00004"),
            ((" 00010 ", "2026-01-01T00:00:00.000000Z"), "00097;00004"),
            (("00001", "2020-01-01T00:00:00.000000Z"), None),
            (("00004", "2026-01-01T00:00:00.000000Z"), None),
            (("99999", None), None),
            ((None, None), None),
        ),
        pattern=r"\d{5}(;\d{5})+",
        storable=True,
        code_lists=("communes",),
    ),
    Function(
        "address_commune",
        parameters("x, province, moment"),
        "The commune of July 2025 that an address names, where the text allows it: the last unit of the kinds Phường (P.), "
        "Xã (X.), Thị trấn (TT.) and Đặc khu, in the province that the text ends with, or in the one whose code the source "
        "gives beside it. A district in the text must agree, and then an old unit is meant; a record older than July 2025 "
        "speaks of old units, a newer one of new units first. Marks may be missing while one unit fits. Null where no unit or "
        "several fit, or the old unit was divided. No service is asked.",
        (
            (("Số 5, P. Trúc Bạch, Q. Ba Đình, TP. Hà Nội", None, None), "00004"),
            (("Phường Hồng Hà, Hà Nội", None, "2026-01-01"), "00097"),
            (("12 phố X, phuong hong ha, ha noi, Viet Nam", None, None), "00097"),
            (("Thôn 3 PHƯỜNG HỒNG HÀ THÀNH PHỐ HÀ NỘI", None, None), "00097"),
            (("Số 5, Phường Hồng Hà", "01", "2026-01-01"), "00097"),
            (("Số 5, Phường Hồng Hà", None, "2026-01-01"), None),
            (("Phường Hồng Hà, Quận Ba Đình, Hà Nội", None, None), None),
            (("Phường Hồng Hà, Hà Nội", None, "2020-01-01"), None),
            (("Phường Phúc Xá, Hà Nội", None, "2020-01-01"), "00097"),
            (("Phường Cũ, Hà Nội", None, None), None),
            (("P.1, Q.3, Hà Nội", None, None), "00004"),
            (("Phường 01, Quận 3, Hà Nội", None, None), "00004"),
            (("Phường Khác, Quận 3, TP Huế", None, None), None),
            (("Hà Nội", None, None), None),
            ((None, None, None), None),
        ),
        pattern=r"\d{5}",
        storable=True,
        code_lists=("communes", "provinces"),
    ),
    Function(
        "address_province",
        parameters("x"),
        "The province (one of 34) that an address ends with, under its name of before or since July 2025. Null where it "
        "ends otherwise.",
        (
            (("Số 5, Phường Hồng Hà, TP. Hà Nội",), "01"),
            (("ha noi, Việt Nam",), "01"),
            (("Phường Hồng Hà Tỉnh Hà Giang",), "08"),
            (("Phường Hồng Hà",), None),
            ((None,), None),
        ),
        storable=True,
        code_lists=("provinces",),
    ),
    Function(
        "province_of_commune",
        parameters("x"),
        "The province (one of 34) of a commune of July 2025.",
        ((("00004",), "01"), (("99999",), None), ((None,), None)),
        pattern=r"\d{2}",
        storable=True,
        code_lists=("communes",),
    ),
    Function(
        "former_province_of_commune",
        parameters("x"),
        "The province (one of 63) that a commune of before July 2025 stood in: with a 0 before it, the place of registration "
        "that a personal ID begins with.",
        ((("00004",), "01"), (("99999",), None), ((None,), None)),
        pattern=r"\d{2}",
        storable=True,
        code_lists=("communes",),
    ),
)
"""The functions, by name."""

PACKAGE = Package(
    name="mapping/functions/places.py",
    functions=FUNCTIONS,
    duckdb=PLACES,
    code_list_columns=("province", "district"),
)
"""Functions on places."""
