"""One engine session for all tests of the engine, and a way to ask it about many values in one query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from motlan.expressions import DUCKDB, FUNCTIONS, connect, load_code_lists

LISTS = {
    "sexes.csv": "code,value\nNam,male\nnữ,female\nman,male\nwoman,female\n",
    "currencies.csv": "code,value,valid_from\nX1,old,\nX1,new,2010-01-01\n",
    "communes.csv": (
        "code,valid_from,valid_to,name,province,district,successors\n"
        "00001,,2025-07-01,Phường Phúc Xá,01,Quận Ba Đình,00097\n"
        "00004,,2025-07-01,Phường Trúc Bạch,01,Quận Ba Đình,00004\n"
        "00004,2025-07-01,,Phường Ba Đình,01,,\n"
        "00010,,2025-07-01,Phường Cũ,01,Quận Ba Đình,00097;00004\n"
        "00011,,2025-07-01,Phường 1,01,Quận 3,00004\n"
        "00012,,2025-07-01,Phường 1,01,Quận 4,00097\n"
        "00013,,2025-07-01,Xã Tân Hòa,01,Huyện Quan Sơn,00004\n"
        "00014,,2025-07-01,Xã Tân Hóa,01,Huyện Quan Sơn,00097\n"
        "00015,,2025-07-01,Phường Sơn Tây,01,Thị xã Sơn Tây,00097\n"
        "00097,2025-07-01,,Phường Hồng Hà,01,,\n"
        "00097,,2025-07-01,Phường Khác,01,Quận 3,00004\n"
    ),
    "provinces.csv": (
        "code,valid_from,valid_to,name,successors\n"
        "01,,2025-07-01,Thành phố Hà Nội,01\n"
        "01,2025-07-01,,Thành phố Hà Nội,\n"
        "02,,2025-07-01,Tỉnh Hà Giang,08\n"
        "08,2025-07-01,,Tỉnh Tuyên Quang,\n"
    ),
}

Ask = Callable[[str, Sequence[Sequence[object]]], list[object]]


@pytest.fixture(scope="session")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codes")
    for name, content in LISTS.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def engine(lists: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=1) as con:
        load_code_lists(con, lists)
        yield con


@pytest.fixture(scope="session")
def ask(engine: duckdb.DuckDBPyConnection) -> Ask:
    """Answer a function for many tuples of arguments, from columns of a table as real data is."""

    def answer(function: str, calls: Sequence[Sequence[object]]) -> list[object]:
        declared = FUNCTIONS[function].parameters
        written = [declared[min(i, len(declared) - 1)].written_out for i in range(max(map(len, calls)))]
        answers: dict[int, object] = {}
        groups: dict[tuple[object, ...], list[int]] = {}
        for number, call in enumerate(calls):
            key = (len(call), *(value for value, out in zip(call, written, strict=False) if out))
            groups.setdefault(key, []).append(number)
        for numbers in groups.values():
            first = calls[numbers[0]]
            columns = {"n": pa.array(numbers)}
            arguments = []
            for place, value in enumerate(first):
                if written[place]:
                    arguments.append(DUCKDB.literal(value))  # type: ignore[arg-type]
                    continue
                column = pa.array([calls[n][place] for n in numbers])
                columns[f"a{place}"] = column.cast(pa.string()) if column.type == pa.null() else column
                arguments.append(f"a{place}")
            engine.register("calls", pa.table(columns))
            answers |= dict(engine.execute(f"SELECT n, {DUCKDB.call(function, arguments)} FROM calls").fetchall())
            engine.unregister("calls")
        return [answers[number] for number in range(len(calls))]

    return answer
