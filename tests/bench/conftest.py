"""Benchmarks as smoke tests: on a small country, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import quality, world
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def in_this_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run what a benchmark does in this process; return its state's folder.

    Processes of their own are for their memory, which is not looked at here, and each would import all anew. One round is enough.
    """

    def here(what: str, call: Callable[..., None], *given: Any, tell: Callable[[int], None] | None = None) -> None:
        call(*given, *([SimpleNamespace(value=0)] if tell else []))

    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTLAN_HOME", str(ROOT))
        patch.setenv("MOTLAN_VAR", str(folder))
        patch.setattr(world, "apart", here)
        patch.setattr(quality, "ROUNDS", 1)
        yield folder
