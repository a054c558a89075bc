"""Every hostile source stands on a server of its own, and nothing that it sends may be heard anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.cases import KNOWN
from tests.hostile.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the whole matrix to `make test`: the quick loop has no time for hundreds of servers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nothing_heard(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not KNOWN.leaked(caplog.text, *capfd.readouterr())
