"""A small country of people whose names and numbers are known, and everything that is said while it is served."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import simulators
from motlan.settings import load
from motlan.store import open_store
from motlan.store.session import Store
from tests.conftest import Country, card_record, spine_record
from tests.privacy.leaks import Known

Person = tuple[str, str, str, str, str, str]
"""Personal ID, full name, birth date (iso, dmy), sex and health card."""


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    """The truth of a simulated country."""
    world = tmp_path_factory.mktemp("privacy") / "world"
    simulators.make_world(world, people=1200, seed=3, days=0, dirt="clean")
    return duckdb.sql(
        f"""select personal_id, full_name, birth_date::varchar, strftime(birth_date, '%d/%m/%Y'), sex, health_card
            from read_parquet('{world}/truth/persons.parquet') where personal_id is not null order by true_id"""
    ).fetchall()


@pytest.fixture(scope="session")
def known(people: list[Person]) -> Known:
    found = Known(value for person in people for value in (person[0], person[1], person[5]) if value)
    assert sum(value.isdigit() for value in found.values) >= 1000
    assert sum(not value.isdigit() for value in found.values) >= 1000
    return found


@pytest.fixture(scope="session")
def somebody(people: list[Person]) -> str:
    """A name, which is found in any text that quotes it."""
    return max((person[1] for person in people), key=len)


@pytest.fixture
def crowd(country: Country, people: list[Person]) -> Country:
    """The small country, with these people in both of its registers; one in fifty cards has no name."""
    country.write("alpha_people", [spine_record((f"a{n}", p[0], p[1], p[2], p[4], None)) for n, p in enumerate(people)])
    cards = [(f"b{n}", p[0], p[1].upper() if n % 50 else None, p[3], p[4], p[5]) for n, p in enumerate(people)]
    country.write("beta_cards", [card_record(row) for row in cards])
    return country


@pytest.fixture(scope="session")
def store(store_server: Callable[[str], str]) -> Store:
    """A store without a country."""
    url = store_server("t_privacy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTLAN_DATABASE_URL", url)
        return open_store(load())


@pytest.fixture(scope="session")
def server_log(store: Store) -> Path:
    """PostgreSQL's own log."""
    return Path(store.url.partition("host=")[2]) / "log"
