"""Checkpoints are signed with every run, by a key that can be replaced, and by witnesses that a rewritten log does not get."""

import os
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from motlan import pipeline
from motlan.errors import ConfigurationError
from motlan.ledger import log, merkle
from motlan.proof import check, checkpoints, witnesses
from motlan.proof.keys import LOG, WITNESS, make_key, read_key, save_key
from motlan.proof.witness import make_app
from tests.conftest import Country, behind_the_bus
from tests.motlan.test_pipeline import rows, whole_job


def policy_of(key: str) -> str:
    return f"log {key}\nquorum none\n"


def test_a_checkpoint_is_signed_with_every_run(country: Country) -> None:
    country.after(whole_job)
    work = country.open()
    sizes = [size for (size,) in rows(country, "select size from log_checkpoints order by size")]
    assert len(sizes) == 3, "two syncs and a publication"
    key = checkpoints.key_of(work.settings)
    with work.store.engine.connect() as connection:
        newest = checkpoints.find(connection)
        assert newest.size == sizes[-1] == log.size_of(connection)
        assert check.read_checkpoint(newest.note, policy_of(key.public)) == (key.name, newest.size, newest.root)
        first = checkpoints.find(connection, sizes[0])
        proof = log.prove_consistency(connection, first.size, newest.size)
        assert merkle.is_consistent(first.size, first.root, newest.size, newest.root, proof)
    assert checkpoints.sign(work.store, work.settings) == newest, "nothing new: nothing is signed again"
    pipeline.sync("alpha_people")
    assert rows(country, "select count(*) from log_checkpoints") == [(3,)]


def test_the_key_is_for_its_owner_alone_and_is_made_once(country: Country) -> None:
    settings = country.open().settings
    key = checkpoints.key_of(settings)
    assert checkpoints.key_of(settings) == key
    assert settings.log_key.stat().st_mode & 0o777 == 0o600
    assert key.public in repr(key)
    assert key.seed.hex() not in repr(key)
    settings.log_key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="others may read the key"):
        read_key(settings.log_key)
    settings.log_key.chmod(0o600)
    settings.log_key.write_text("PRIVATE+KEY+x+y+z")
    with pytest.raises(ConfigurationError, match="this is no key"):
        read_key(settings.log_key)


def test_a_key_that_is_replaced_hands_over_to_the_next_one(country: Country) -> None:
    work = country.open()
    before = checkpoints.sign(work.store, work.settings)
    old, new = checkpoints.replace_key(work.store, work.settings)
    assert checkpoints.key_of(work.settings) == new != old
    with work.store.engine.connect() as connection:
        both = checkpoints.find(connection)
    assert check.signers(both.note, [old.public, new.public]) == {old.public, new.public}
    later = checkpoints.sign(work.store, work.settings)
    assert check.signers(later.note, [old.public, new.public]) >= {new.public}
    assert before.size < both.size <= later.size
    told = "select body->>'action', body->>'key' from log_entries where kind = 'log key' order by index"
    assert rows(country, told) == [("in force", old.public), ("replaces", new.public)]


@pytest.fixture
def witness(country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A witness of the country's log, which the policy of the bus names."""
    work = country.open()
    key = make_key("agency.example/witness", WITNESS)
    save_key(key, tmp_path / "witness.key")
    app = make_app(read_key(tmp_path / "witness.key"), [checkpoints.key_of(work.settings).public], tmp_path / "seen")
    client = TestClient(app, base_url="http://witness")
    policy = tmp_path / "policy"
    policy.write_text(f"witness w1 {key.public} http://witness\ngroup g any w1\nquorum g\n")
    monkeypatch.setenv("MOTLAN_LOG_POLICY", str(policy))

    def post(url: str, content: bytes, timeout: float) -> httpx.Response:
        answer = client.post(url, content=content)
        return httpx.Response(answer.status_code, content=answer.content, request=httpx.Request("POST", url))

    monkeypatch.setattr(witnesses.httpx, "post", post)
    client.policy = f"log {checkpoints.key_of(work.settings).public}\n{policy.read_text()}"
    return client


def test_a_witness_signs_what_extends_what_it_signed_before(country: Country, witness: TestClient) -> None:
    work = country.open()
    for number in range(3):
        with work.store.engine.begin() as connection:
            log.append(connection, "test", {"number": number})
        signed = checkpoints.sign(work.store, work.settings)
        assert check.read_checkpoint(signed.note, witness.policy)[1] == signed.size
    kept = witness.get("/checkpoint", params={"origin": signed.origin})
    assert (kept.status_code, kept.text) == (200, signed.note)


def test_a_log_that_was_rewritten_gets_no_witness_again(country: Country, witness: TestClient) -> None:
    work = country.open()
    with work.store.engine.begin() as connection:
        log.append(connection, "test", {"number": 1})
    checkpoints.sign(work.store, work.settings)
    with work.store.engine.begin() as connection:  # all of it, and signed under the real key
        for table in ("log_nodes", "log_entries", "log_checkpoints"):
            behind_the_bus(connection, f"delete from {table}")
        for number in range(5):
            log.append(connection, "test", {"number": 10 + number})
    signed = checkpoints.sign(work.store, work.settings)
    with pytest.raises(check.ProofError, match="too few witnesses"):
        check.read_checkpoint(signed.note, witness.policy)
    key = checkpoints.key_of(work.settings).public
    assert check.read_checkpoint(signed.note, policy_of(key))[1] == signed.size, "the log's own key is the real one"


def test_a_witness_refuses_what_the_protocol_refuses(country: Country, witness: TestClient) -> None:
    work = country.open()
    signed = checkpoints.sign(work.store, work.settings)
    other = make_key("other/log", LOG)
    text = checkpoints.note_text(other.name, 1, b"x" * 32)
    own = checkpoints.note_text(signed.origin, 7, b"x" * 32)
    forged = f"{own}\n{make_key(signed.origin, LOG).sign(own)}"
    extended = f"{own}\n{checkpoints.key_of(work.settings).sign(own)}"
    for body, status in (
        (f"old 0\n\n{text}\n{other.sign(text)}", 404),
        (f"old 0\n\n{forged}", 403),
        (f"old 0\n\n{signed.note}", 409),
        (f"old 99\n\n{signed.note}", 400),
        (f"old {signed.size}\n\n{extended}", 422),
        ("nonsense", 400),
        ("x" * 70_000, 413),
    ):
        answer = witness.post("/add-checkpoint", content=body.encode())
        assert answer.status_code == status, (answer.text, body[:80])
        if status == 409:
            assert (answer.text, answer.headers["content-type"]) == (f"{signed.size}\n", "text/x.tlog.size")


def test_a_witness_that_does_not_answer_delays_nothing_and_is_left_out(
    country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key("agency.example/witness", WITNESS).public
    (tmp_path / "policy").write_text(f"witness w {key} http://127.0.0.1:9/\nquorum w\n")
    monkeypatch.setenv("MOTLAN_LOG_POLICY", str(tmp_path / "policy"))
    work = country.open()
    signed = checkpoints.sign(work.store, work.settings)
    assert not witnesses.is_met(witnesses.read_policy(work.settings.log_policy), signed.note)
    os.truncate(tmp_path / "policy", 0)
    with pytest.raises(ConfigurationError, match="no policy of witnesses"):
        checkpoints.sign(work.store, work.settings)
