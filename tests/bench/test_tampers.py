"""Silent changes of everything that is stored are found and located, and nothing else is told of."""

import pytest

from bench.lineage import tampers
from motlan.settings import Settings
from motlan.store import server
from tests.conftest import Country, name_of
from tests.motlan.test_pipeline import whole_job


@pytest.mark.slow
def test_every_silent_change_is_found_where_it_was_made(country: Country, server_settings: Settings) -> None:
    country.after(whole_job)
    admin = server.admin_url(server_settings).replace("/postgres?", f"/{name_of(country.url)}?")
    found = tampers.try_all(country.open(), admin)
    assert found.tried >= 60
    assert found.missed == []
    assert found.alarms == []
