"""People: nobody is somebody else by a variable, by signing in or out, by guessing, or by a stale sign-in."""

import json
import os
import pwd
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan import people, principals
from motlan.cli.main import app
from motlan.errors import AccessError, ConfigurationError
from motlan.ledger import log
from motlan.settings import Settings, load
from motlan.store import Store
from tests.conftest import Country, signed_in
from tests.motlan.test_pipeline import rows

ACCOUNT = f"user:{pwd.getpwuid(os.getuid()).pw_name}"
GOOD = "a horse, a battery"


def call(*words: str, said: str = "", env: dict[str, str] | None = None, fails: bool = False) -> Any:
    answer = CliRunner().invoke(app, [*words, "--json"], input=said, env=env)
    assert answer.exit_code == (1 if fails else 0), answer.output
    return json.loads(answer.stdout)


@pytest.fixture
def store(country: Country) -> Store:
    return country.open().store


@pytest.fixture
def settings(store: Store) -> Settings:
    return load()


def sign_in(store: Store, settings: Settings, name: str, secret: str, chosen: str = GOOD) -> datetime:
    return people.sign_in(store, settings, name, secret, lambda: chosen)


def test_no_variable_says_who_acts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER", "HOME"):
        monkeypatch.setenv(name, "alice")
    assert call("whoami") == {"principal": ACCOUNT, "account": ACCOUNT}


def test_an_account_without_a_name_is_its_number(store: Store) -> None:
    assert principals.account(4_000_000_000) == "user:#4000000000"


def test_a_person_signs_in_with_a_one_time_secret_and_then_with_their_passphrase(
    country: Country, store: Store, settings: Settings
) -> None:
    added = CliRunner().invoke(app, ["people", "add", "an"])
    assert added.exit_code == 0, added.output
    once = added.stdout.strip()
    assert "cannot be used" in call("sign-in", "an", said=f"{once}\nshort\n", fails=True)["message"]
    assert call("sign-in", "an", said=f"{once}\n{GOOD}\n")["principal"] == "person:an"
    assert call("whoami") | {"until": ""} == {
        "principal": "person:an", "account": ACCOUNT, "role": "steward", "until": "",
    }  # fmt: skip
    token = settings.var / "sessions" / str(os.getuid())
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert call("sign-out") == {"signed_out": True}
    assert call("whoami")["principal"] == ACCOUNT
    assert call("sign-out") == {"signed_out": False}
    assert "do not belong together" in call("sign-in", "an", said=f"{once}\n{GOOD}\n", fails=True)["message"]
    assert call("sign-in", "an", said=f"{GOOD}\n")["principal"] == "person:an"
    kept = json.dumps(rows(country, "select people::text, sign_ins::text from people, sign_ins"), default=str)
    assert not any(secret in kept for secret in (once, GOOD, token.read_text()))
    assert ("person:an", "sign-in", f"uid {os.getuid()}") in rows(
        country, "select principal, action, subject from accesses"
    )


def test_a_token_holds_for_its_account_its_time_and_its_person_alone(
    country: Country, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "update sign_ins set uid = uid + 1": "update sign_ins set uid = uid - 1",
        "update sign_ins set expires_at = now()": "update sign_ins set expires_at = now() + interval '1 hour'",
        "update people set removed_at = now()": "update people set removed_at = null",
        "update sign_ins set ended_at = now()": "update sign_ins set ended_at = null",
    }
    monkeypatch.setenv(principals.SESSION, signed_in("an")[principals.SESSION])
    for spoil, mend in changes.items():
        with store.engine.begin() as connection:
            connection.exec_driver_sql(spoil)
        assert "holds no longer" in call("whoami", fails=True)["message"], spoil
        with store.engine.begin() as connection:
            connection.exec_driver_sql(mend)
        assert call("whoami")["principal"] == "person:an", mend
    token = principals.token_file(settings)
    token.chmod(0o640)
    assert "others have access" in call("whoami", fails=True)["message"]
    token.chmod(0o600)
    for odd in ("", "x" * 9000, "\x00", "' or true --", "é"):
        token.write_text(odd, encoding="utf-8")
        assert "holds no longer" in call("whoami", fails=True)["message"], odd


def test_wrong_passphrases_make_the_next_try_wait_and_say_nothing_of_who_there_is(
    store: Store, settings: Settings
) -> None:
    once = people.add(store, settings, "an")
    for name in (*["an"] * people.FREE_TRIES, "nobody", "\x00", "an\x00", "x" * 5000, "' or true --"):
        with pytest.raises(AccessError, match="do not belong together"):
            sign_in(store, settings, name, "guessed\x00\udc80")
    with pytest.raises(AccessError, match=r"try again in 1\d s"):
        sign_in(store, settings, "an", once)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("update people set failed_at = now() - interval '16 seconds'")
    assert sign_in(store, settings, "an", once) > datetime.now(UTC) + timedelta(hours=people.HOURS - 1)


def test_a_one_time_secret_is_too_old_after_a_week(store: Store, settings: Settings) -> None:
    once = people.add(store, settings, "an")
    with store.engine.begin() as connection:
        connection.exec_driver_sql("update people set one_time_until = now()")
    with pytest.raises(AccessError, match="too old"):
        sign_in(store, settings, "an", once)


def test_the_owner_adds_the_first_people_and_then_admins_do(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 65_534)
        with pytest.raises(AccessError, match="owns the installation"):
            people.add(store, settings, "mallory", "admin")
    once = people.add(store, settings, "an", "admin")
    people.add(store, settings, "binh")
    sign_in(store, settings, "an", once)
    secret = people.reset(store, settings, "binh")
    people.sign_out(store, settings)
    for act in (
        lambda: people.add(store, settings, "mallory"),
        lambda: people.remove(store, settings, "an"),
        lambda: people.reset(store, settings, "an"),
    ):
        with pytest.raises(AccessError, match="an admin manages people"):
            act()
    sign_in(store, settings, "binh", secret)
    with pytest.raises(AccessError, match="only an admin"):
        people.add(store, settings, "mallory")


def test_a_removed_person_is_out_at_once_and_their_name_is_not_given_again(store: Store, settings: Settings) -> None:
    once = people.add(store, settings, "an")
    sign_in(store, settings, "an", once)
    terminal = principals.token_file(settings)
    kept = terminal.read_text()
    terminal.unlink()
    people.remove(store, settings, "an")
    terminal.touch(0o600)
    terminal.write_text(kept)
    with pytest.raises(AccessError, match="holds no longer"):
        principals.current(store, settings)
    people.sign_out(store, settings)
    with pytest.raises(AccessError):
        sign_in(store, settings, "an", GOOD)
    with pytest.raises(ConfigurationError, match="used before"):
        people.add(store, settings, "an")
    assert [(row["name"], row["state"]) for row in people.listed(store)] == [("an", "removed")]
    for name in ("an", "nobody", "\x00"):
        with pytest.raises(ConfigurationError, match="no such person"):
            people.remove(store, settings, name)


@pytest.mark.parametrize("name", ["", "An", "a b", "a" * 65, "a\x00", "root:x", "é", "-a", "../a", "a\n"])
def test_a_name_that_cannot_be_used_is_refused(store: Store, settings: Settings, name: str) -> None:
    with pytest.raises(ConfigurationError, match="name cannot be used"):
        people.add(store, settings, name)


def test_who_comes_and_goes_is_in_the_log_without_their_name(
    country: Country, store: Store, settings: Settings
) -> None:
    sign_in(store, settings, "an", people.add(store, settings, "an", "admin"))
    people.add(store, settings, "binh", "reviewer")
    people.remove(store, settings, "binh")
    bodies = [body for (body,) in rows(country, "select body from log_entries where kind = 'person' order by index")]
    assert [(body["action"], body.get("role")) for body in bodies] == [
        ("added", "admin"), ("chose a passphrase", None), ("added", "reviewer"), ("removed", None),
    ]  # fmt: skip
    assert "binh" not in json.dumps(bodies)
    with store.engine.connect() as connection:
        assert log.first_broken(connection) is None


def test_an_account_and_who_signs_in_on_it_are_one_human(store: Store, settings: Settings, tmp_path: Path) -> None:
    for name in ("an", "binh"):
        signed_in(name)
    people.add(store, settings, "chi", uid=os.getuid())
    people.add(store, settings, "dung", uid=65_534)
    persons = {f"person:{name}" for name in ("an", "binh", "chi", "dung")}
    with store.engine.connect() as connection:
        assert principals.aliases(connection, ACCOUNT) == {ACCOUNT, "person:an", "person:binh", "person:chi"}
        assert principals.aliases(connection, "person:dung") == {"person:dung", principals.account(65_534)}
        for number, said in (
            (1, {ACCOUNT}),
            (1, {ACCOUNT, "person:an"}),
            (2, {ACCOUNT, "person:an", "person:binh"}),
            (2, {ACCOUNT, "person:dung"}),
            (2, {ACCOUNT, "user:another"}),
            (4, persons | {ACCOUNT}),
        ):
            assert principals.humans(connection, said) == number, said


def test_a_person_is_asked_for_their_secret_never_as_an_argument(store: Store) -> None:
    for words in (
        ["sign-in", "an", "secret"],
        ["sign-in", "an", "--passphrase", "x"],
        ["people", "add", "an", "secret"],
    ):
        assert CliRunner().invoke(app, words).exit_code == 2, words
