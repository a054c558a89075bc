"""The auditor's walk in the docs is run as it stands there: from a citizen's complaint to a verified proof."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from motlan.proof import check
from tests.conftest import ROOT, Country
from tests.motlan.test_pipeline import rows, whole_job

PAGE = ROOT / "docs" / "how-to" / "audit-a-complaint.md"
MOTLAN = f'#!/bin/sh\nexec "{sys.executable}" -m motlan "$@"\n'


@pytest.mark.slow
def test_every_command_of_the_walk_does_what_the_page_says(country: Country, tmp_path: Path) -> None:
    country.after(whole_job)
    wanted = "select person_id::text, personal_id from golden_person where full_name = 'Trần Thị Bình'"
    ((person, number),) = rows(country, wanted)
    (tmp_path / "bin").mkdir()
    for name, text in (("motlan", MOTLAN), ("python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    shutil.copy(check.__file__, tmp_path / "check.py")
    day = (datetime.now(UTC) + timedelta(minutes=1)).isoformat(timespec="seconds")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    variables = os.environ | {"NUMBER": number, "DAY": day, "PATH": path, "PYTHONPATH": str(ROOT)}
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    script = "set -eu\n" + "\necho '-- next'\n".join(blocks)
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.split("-- next\n")
    assert "Trần Thị Bình" in said[1]
    assert "Trần Thị Bình" in said[2]
    assert "complaint" in said[3]
    assert "all is as the log says" in done.stderr
    assert "value: Trần Thị Bình\n" in said[6]
    assert said[6].endswith("The proof holds.\n")
    assert json.loads((tmp_path / "answer.json").read_text())["person_id"] == person
    looks = rows(country, "select action, case_reference from accesses order by id")
    assert {("lineage.read", "2026/117"), ("proof.read", "2026/117")} <= set(looks)
