"""Headers of columns in Vietnamese, by which `motlan link --propose` knows what they hold."""

from __future__ import annotations

from motlan.expressions.dialect import Sql
from motlan.expressions.functions import Package

PACKAGE = Package(
    name="mapping/functions/headers.py",
    functions={},
    duckdb=Sql(),
    headers={
        "key": "(.*_)?(ma|stt)",
        "identifier": "(.*_)?(cccd|cmnd|ma_so_thue|so_dinh_danh|so_dien_thoai)(_.*)?",
        "date": "(.*_)?ngay_sinh(_.*)?",
        "sex": "gioi_tinh",
        "postcode": "(.*_)?ma_buu_chinh",
        "place": "(.*_)?(commune|province|xa|phuong|quan|huyen|tinh)(_.*)?",
        "name": "(.*_)?(ho|ten|ho_ten|ho_va_ten|ho_dem)(_.*)?",
    },
)
"""Kind of column -> pattern of its headers."""
