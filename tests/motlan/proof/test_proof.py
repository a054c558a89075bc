"""A value is proved offline, and nothing else is: by the bus's own check, and by the script that needs nothing of it."""

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from motlan.proof import check, checkpoints, prove
from tests.conftest import Country
from tests.motlan.test_pipeline import rows, whole_job

SCRIPT = Path(check.__file__)


@dataclass
class Proved:
    text: str
    key: str

    @property
    def said(self) -> dict:
        return json.loads(base64.b64decode(self.text.split("\n")[1][6:]))

    def changed(self, change) -> str:
        said = self.said
        change(said)
        lines = self.text.split("\n")
        lines[1] = "extra " + base64.b64encode(json.dumps(said).encode()).decode()
        return "\n".join(lines)


@pytest.fixture
def proved(country: Country) -> Proved:
    country.after(whole_job)
    work = country.open()
    ((person,),) = rows(country, "select person_id::text from golden_person where full_name = 'Trần Thị Bình'")
    text = prove.prove(work, "person", person, "full_name", "uid:0")
    return Proved(text, checkpoints.key_of(work.settings).public)


def run(text: str, *options: str, folder: Path) -> subprocess.CompletedProcess:
    (folder / "name.tlog-proof").write_text(text, encoding="utf-8")
    command = [sys.executable, "-I", str(SCRIPT), "name.tlog-proof", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_script_alone_checks_a_proof_and_says_what_it_proves(proved: Proved, tmp_path: Path) -> None:
    done = run(proved.text, "--key", proved.key, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "value: Trần Thị Bình\n" in done.stdout
    assert "register: alpha_people\n" in done.stdout
    assert done.stdout.endswith("The proof holds.\n")
    other = checkpoints.make_key(proved.key.split("+")[0]).public
    assert run(proved.text, "--key", other, folder=tmp_path).stdout.startswith("DOES NOT HOLD: the checkpoint is not")


def test_the_script_is_short_enough_to_be_read() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert text.count("cryptography") == 2
    assert "import motlan" not in text
    assert "from motlan" not in text


def test_the_look_for_a_proof_is_written_down(proved: Proved, country: Country) -> None:
    assert rows(country, "select count(*) from accesses where action = 'proof.read'") == [(1,)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda said: said.update(value="Trần Thị Bính"), "the row says another value"),
        (lambda said: said.update(id="0" * 8), "the row says another value"),
        (lambda said: said["golden"]["row"].update(full_name="Trần Thị Bính"), "the golden row is not the one"),
        (lambda said: said["golden"].update(salt="0" * 32), "the golden row is not the one"),
        (lambda said: said["golden"]["block"].append("0" * 64), "the golden row is not under"),
        (lambda said: said["golden"].update(rows=7_000), "the golden file has another number"),
        (lambda said: said["entry"]["body"].update(number=2), "the publication is not in the log"),
        (lambda said: said["entry"].update(at="2026-01-01T00:00:00.000000Z"), "the publication is not in the log"),
        (lambda said: said["source"].update(position=0), "the golden row does not rest"),
        (
            lambda said: said["source"].update(names=said["source"]["names"][::-1]),
            "the delivered record is not the one",
        ),
        (lambda said: said["source"]["entry"]["body"].update(rows=7), "the delivery is not in the log"),
        (lambda said: said["source"]["entry"].update(kind="publication"), "it rests on other entries"),
        (lambda said: said["source"].update(index=3), "the delivery is not in the log"),
    ],
)
def test_a_proof_of_which_anything_was_changed_does_not_hold(proved: Proved, change, why: str) -> None:
    with pytest.raises(check.ProofError, match=why):
        check.check(proved.changed(change), f"log {proved.key}\nquorum none\n")


def test_every_line_of_a_proof_is_bound(proved: Proved, tmp_path: Path) -> None:
    policy = f"log {proved.key}\nquorum none\n"
    lines = proved.text.split("\n")
    for number, line in enumerate(lines):
        if not line or number == 1:
            continue
        place = len(line) // 2
        other = "A" if line[place] != "A" else "B"
        changed = "\n".join([*lines[:number], line[:place] + other + line[place + 1 :], *lines[number + 1 :]])
        with pytest.raises((check.ProofError, ValueError)):
            check.check(changed, policy)


def test_who_knows_every_field_and_not_the_salt_can_confirm_nothing(proved: Proved) -> None:
    """The commitments of the block are all that a proof tells of others: they cannot be guessed without the salts."""
    said = proved.said
    row, names = said["golden"]["row"], sorted(said["golden"]["row"])
    assert check.commit(row, names, said["golden"]["salt"]) in said["golden"]["block"]
    for guess in ("", "0" * 32):
        assert check.commit(row, names, guess) not in said["golden"]["block"]
    others = {column: value for column, value in row.items() if column != "full_name"}
    assert not any(value and value in proved.said["golden"]["block"] for value in others.values())


def test_a_person_without_the_value_has_no_proof(country: Country) -> None:
    country.after(whole_job)
    with pytest.raises(Exception, match="there is no golden person"):
        prove.prove(country.open(), "person", "00000000-0000-0000-0000-000000000000", "full_name", "uid:0")
