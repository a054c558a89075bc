"""One engine session for all tests of the engine, and a way to ask it about many values in one query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from motlan.engine import DUCKDB, FUNCTIONS, connect, load_code_lists

LISTS = {
    "sexes.csv": "code,value\nNam,male\nnữ,female\n",
    "communes.csv": (
        "code,valid_from,valid_to,name,province,successors\n"
        "00001,,2025-07-01,Phường Phúc Xá,01,00097\n"
        "00004,,2025-07-01,Phường Trúc Bạch,01,00004\n"
        "00004,2025-07-01,,Phường Ba Đình,01,\n"
        "00010,,2025-07-01,Phường Cũ,01,00097;00004\n"
        "00097,2025-07-01,,Phường Hồng Hà,01,\n"
        "00097,,2025-07-01,Phường Khác,01,00004\n"
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
