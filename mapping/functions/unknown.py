"""Words for what nobody knew: `text` drops them from any value, `person_name` from names."""

from __future__ import annotations

from dataclasses import replace

from motlan.expressions.duckdb.pieces import text
from motlan.expressions.duckdb.traces import AROUND, ERROR, UNKNOWN, WORDLESS, phrases, plain_text
from motlan.expressions.functions import Package
from motlan.expressions.generic import GENERIC

_BARE = {"đ": "d"}
_UNKNOWN = f"{UNKNOWN}|" + phrases(
    "không, chưa, không rõ, không biết, không có, không xác định, không có thông tin, không có dữ liệu, không có số liệu, "
    "chưa rõ, chưa biết, chưa có, chưa xác định, chưa có thông tin, chưa có dữ liệu, chưa cập nhật, đang cập nhật, chưa nhập",
    _BARE,
)
# Without marks some would be names: An Danh, Võ Danh.
_NAMELESS = phrases(
    "không tên, không có tên, không rõ tên, không rõ họ tên, không rõ tên tuổi, không biết tên, chưa có tên, "
    "chưa có họ tên, chưa rõ tên, chưa biết tên, chưa đặt tên, chưa khai sinh, !vô danh, người vô danh, !ẩn danh, !bỏ trống, "
    "no name, anonymous, họ và tên, họ tên, test, unk",
    _BARE,
)
UNKNOWN_NAME = f"{_UNKNOWN}|{_NAMELESS}|x+"
"""Pattern, of a text in lower case, of what stands for a name that nobody knew."""


def is_unknown_name(x: str) -> str:
    """Return SQL that asks whether a text (NFC) only says that nobody knew a name, or is no word at all."""
    words = f"{AROUND}(?:{UNKNOWN_NAME}|{ERROR}){AROUND}|{WORDLESS}|0+"
    return f"regexp_full_match(lower({x}), {text(words)})"


_TEXT = GENERIC.functions["text"]
PACKAGE = Package(
    name="mapping/functions/unknown.py",
    functions={
        "text": replace(
            _TEXT,
            doc=f"{_TEXT.doc} Vietnamese words for it too, with or without marks: không rõ, chưa cập nhật. A letter with "
            "another mark is another word: `khổng` is a family name, `không` says no.",
            examples=(
                *_TEXT.examples,
                (("Ho\u0300a",), "Hòa"),
                (('="THPT Lê Hoa"',), "THPT Lê Hoa"),
                (("Không rõ",), None),
                (("chua cap nhat.",), None),
                (("Khổng Có",), "Khổng Có"),
            ),
        )
    },
    duckdb=plain_text(_UNKNOWN),
    replaces=frozenset({"text"}),
)
"""`text`, which knows the words for unknown."""
