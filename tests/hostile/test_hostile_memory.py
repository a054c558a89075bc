"""What a hostile source may make of our memory, whatever it sends and however often."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.hostile.peak import CASES

ROWS = {"padded_pages": 60, "letters_of_four_bytes": 1, "small_objects": 999_001, "packed_records": 12_000}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_source_of_gigabytes_takes_less_than_600_megabytes(case: str) -> None:
    command = [sys.executable, "-m", "tests.hostile.peak", case]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["rows"] == ROWS[case]
    assert told["grew"] < 600, "megabytes, those of the server included, which is in the same process"
