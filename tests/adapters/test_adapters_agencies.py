"""The declared agencies: the file holds together, and each adapter gets what its agency says it has."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import adapters
from adapters import protocols
from motlan.adapter import LOCATOR, Adapter, Limits, Pace, Source, Watermark
from motlan.errors import AccessError, ConfigurationError

DECLARED = yaml.safe_load((Path(adapters.__file__).parent / "agencies.yaml").read_text(encoding="utf-8"))["agencies"]
DATASETS = {dataset: agency for agency, entry in DECLARED.items() for dataset in entry["datasets"]}


def open_adapter(dataset: str, env: dict[str, str], **changes: Any) -> Adapter:
    """Do what the registry does."""
    agency = DECLARED[DATASETS[dataset]]
    entry = agency["datasets"][dataset]
    variable, default = re.fullmatch(r"\$\{(\w+):-(.*)\}", agency["endpoint"]).groups()
    user, _, secret = env.get(f"MOTLAN_CREDENTIAL_{agency['credential']}", "reader:none").partition(":")
    settings = {name: entry[name] for name in ("key", "cursor", "columns", "page_rows", "options")}
    settings |= {"limits": Limits(**agency["limits"]), "pace": Pace(**agency["pace"])}
    source = Source(
        agency=DATASETS[dataset],
        dataset=dataset,
        endpoint=env.get(variable, default),
        credential=(user, secret),
        **settings | changes,
    )
    module, _, name = entry["adapter"].partition(":")
    return getattr(importlib.import_module(module), name)(source)


def rows_of(pages) -> list[dict[str, str | None]]:
    return [row for page in pages for row in page.rows.to_pylist()]


def newest(rows, key: str) -> dict[str, dict[str, str | None]]:
    """The last version of each record, without the columns that tell where it was read."""
    return {row[key]: {name: row[name] for name in row.keys() - {LOCATOR, "_drop"}} for row in rows}


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_declared_dataset_has_an_adapter_that_accepts_it(dataset):
    entry = DECLARED[DATASETS[dataset]]["datasets"][dataset]
    assert isinstance(open_adapter(dataset, {}), Adapter)
    assert {entry["key"], entry["cursor"], entry["moment"]} <= entry["columns"].keys()
    assert entry["title"].keys() == {"vi", "en"}


def test_a_slip_in_the_populations_options_is_told():
    with pytest.raises(ConfigurationError):
        open_adapter("population_citizens", {}, options={})


def test_the_public_face_is_what_it_says():
    assert sorted(protocols.__all__) == protocols.__all__
    assert all(hasattr(protocols, name) for name in protocols.__all__)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from simulators import make_world

    folder = tmp_path_factory.mktemp("world")
    make_world(folder, people=1000, seed=1, days=1)
    return folder


@pytest.fixture(scope="module")
def country(world):
    """The agencies on day 0, and everything that was pulled from them then, in pages of 300."""
    from simulators import Agencies

    with Agencies(world) as agencies:
        agencies.set_day(0)
        env = {**os.environ, **agencies.env}
        adapter = {dataset: open_adapter(dataset, env, page_rows=300) for dataset in DATASETS}
        pages = {dataset: list(adapter[dataset].pull(None)) for dataset in DATASETS}
        counts = {dataset: adapter[dataset].count(None) for dataset in DATASETS}
        agencies.set_day(1)
        yield env, adapter, pages, counts


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_first_pull_gets_what_the_source_says_it_holds(country, dataset):
    _, adapter, pages, counts = country
    rows = rows_of(pages[dataset])
    assert len(rows) == counts[dataset].rows == counts[dataset].total
    assert len({row[adapter[dataset].source.key] for row in rows}) == len(rows)
    assert {tuple(page.rows.schema.names) for page in pages[dataset]} == {(*adapter[dataset].source.columns, LOCATOR)}
    assert all(page.rows.num_rows <= 1200 for page in pages[dataset])


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS)
def test_what_changed_brings_the_first_pull_up_to_a_new_one(country, dataset):
    _, adapter, pages, _ = country
    source, before = adapter[dataset].source, rows_of(pages[dataset])
    since = Watermark(*max((row[source.cursor], row[source.key]) for row in before))
    changed = rows_of(adapter[dataset].pull(since))
    assert len(changed) == adapter[dataset].count(since).rows
    assert 0 < len(changed) < len(before)
    now = newest(rows_of(adapter[dataset].pull(None)), source.key)
    assert newest(before, source.key) | newest(changed, source.key) == now


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_wrong_secret_is_refused_and_not_told(country, dataset):
    env = country[0]
    variable = f"MOTLAN_CREDENTIAL_{DECLARED[DATASETS[dataset]]['credential']}"
    wrong = open_adapter(dataset, env | {variable: env[variable].partition(":")[0] + ":wrong-secret"})
    with pytest.raises(AccessError) as error:
        wrong.check()
    assert "wrong-secret" not in str(error.value)
    open_adapter(dataset, env).check()


@pytest.mark.slow
def test_both_forms_of_the_population_message_are_read_by_the_same_columns(country, world):
    from simulators import Agencies

    standard = newest(rows_of(country[1]["population_citizens"].pull(None)), "MaHoSo")
    with Agencies(world, population_form="flat") as agencies:
        pages = list(open_adapter("population_citizens", agencies.env).pull(None))
    assert {tuple(page.rows.schema.names) for page in pages} == {
        (*DECLARED["population"]["datasets"]["population_citizens"]["columns"], LOCATOR)
    }
    flat = newest(rows_of(pages), "MaHoSo")
    assert flat.keys() == standard.keys()
    assert {key: row["SoDinhDanh"] for key, row in flat.items()} == {
        key: row["SoDinhDanh"] for key, row in standard.items()
    }
    assert all(row["DanToc_MaDanToc"] is None and row["HoVaTen_Ho"] is None for row in flat.values())
    assert any(row["DanToc"] for row in flat.values())
    assert any(row["ThuongTru_MaPhuongXa"] for row in flat.values())
