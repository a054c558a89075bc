"""The yardstick: without our care, each of the libraries would tell, and the search would find it."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from motlan.errors import MotlanError, unforeseen
from motlan.store.session import Store
from tests.privacy.faults import FAULTS
from tests.privacy.leaks import Known, shown


@pytest.mark.parametrize(
    "escaped",
    [
        str,
        str.upper,
        repr,
        ascii,
        quote,
        quote_plus,
        json.dumps,
        lambda name: repr(repr(name.encode())),
        lambda name: ascii(ascii(name)),
    ],
)
def test_a_value_is_found_however_it_was_escaped(escaped: Callable[[str], str]) -> None:
    known = Known(["Đặng Thị Ngọc Ánh", "001090000001"])
    assert known.leaked(f"before{escaped('Đặng Thị Ngọc Ánh')}behind") == ["dang thi ngoc anh"]
    assert known.leaked("id=001090000001;") == ["001090000001"]
    assert not known.leaked(escaped("Đặng Thị Ngọc"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_librarys_own_error_quotes_the_value_and_ours_does_not(
    fault: str, store: Store, tmp_path: Path, somebody: str, known: Known
) -> None:
    with pytest.raises(Exception) as caught:
        FAULTS[fault](store, tmp_path, somebody)
    assert not isinstance(caught.value, MotlanError)
    assert known.leaked(shown(caught.value))
    try:
        raise unforeseen(caught.value, "a step") from None
    except MotlanError as ours:
        assert type(caught.value).__name__ in str(ours)
        assert not known.leaked(shown(ours))
