"""What is declared is checked before anything runs, and a mistake is told with its place and its mend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from motlan.config import registry
from motlan.errors import ConfigurationError
from tests.conftest import ROOT, Country


def set_in(*path: Any) -> Callable[[Any], None]:
    *keys, last, value = path

    def change(content: Any) -> None:
        for key in keys:
            content = content[key]
        content[last] = value

    return change


AGENCY = ("agencies", "beta")
DATASET = (*AGENCY, "datasets", "beta_cards")


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("mapping/beta.yaml", set_in("beta_cards", "fields", "sex", "nosuch(sex)"), "nosuch"),
        ("mapping/beta.yaml", set_in("beta_cards", "fields", "sex", "text(absent)"), "no raw column absent"),
        ("mapping/beta.yaml", set_in("beta_cards", "fields", "shoe_size", "text(sex)"), "no such field"),
        ("mapping/beta.yaml", set_in("other", {}), None),
        ("adapters/agencies.yaml", set_in(*DATASET, "lag", -1), "lag"),
        ("adapters/agencies.yaml", set_in(*DATASET, "kye", "id"), "kye"),
        ("adapters/agencies.yaml", set_in(*DATASET, "key", "absent"), "no raw column absent"),
        ("adapters/agencies.yaml", set_in(*AGENCY, "pace", {"answer_timout": 5}), "there is no answer_timout"),
        ("adapters/agencies.yaml", set_in(*AGENCY, "pace", {"attempts": 1.5}), "attempts is no bound"),
        ("adapters/agencies.yaml", set_in(*AGENCY, "pace", {"pull_timeout": -1}), "pull_timeout is no bound"),
        ("adapters/agencies.yaml", set_in(*AGENCY, "limits", {"landing_bytes": 0}), "landing_bytes is no bound"),
        ("adapters/agencies.yaml", set_in(*AGENCY, "limits", {"chunks": 1}), "there is no chunks"),
        ("adapters/agencies.yaml", set_in(*DATASET, "entity", "ship"), "no model of ship"),
        ("mapping/authority.yaml", set_in("person", "sex", {"authority": [], "corect": True}), "corect"),
        ("mapping/matching.yaml", set_in("person", "accept", "much"), "accept"),
        ("mapping/quality.yaml", set_in("rules", 0, "severity", "grave"), "severity"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(
    country_files: Country, file: str, change: Callable[[Any], None], told: str | None
) -> None:
    country_files.declare(file, change)
    if told is None:
        registry.load(country_files.home)
        return
    with pytest.raises(ConfigurationError, match=told) as caught:
        registry.load(country_files.home).datasets["beta_cards"].expressions  # noqa: B018 (parsing is what is asked)
    assert caught.value.where


def test_what_is_declared_is_read_again_when_it_changed_and_not_before(country_files: Country) -> None:
    before = registry.load(country_files.home)
    assert registry.load(country_files.home) is before
    country_files.declare("mapping/authority.yaml", set_in("person", "sex", {"authority": ["alpha_people"]}))
    assert registry.load(country_files.home).entity("person").authority["sex"].datasets == ("alpha_people",)
    country_files.declare("mapping/authority.yaml", set_in("person", "sex", {"authority": ["beta_cards"]}))
    assert registry.load(country_files.home).entity("person").authority["sex"].datasets == ("beta_cards",)


def test_yaml_that_cannot_be_read_names_its_file(country_files: Country) -> None:
    (country_files.home / "mapping" / "beta.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"beta\.yaml"):
        registry.load(country_files.home)


def test_a_missing_credential_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOTLAN_CREDENTIAL_POPULATION", raising=False)
    with pytest.raises(ConfigurationError, match="MOTLAN_CREDENTIAL_POPULATION"):
        registry.load(ROOT).dataset("population_citizens").source()


def test_a_credential_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MOTLAN_CREDENTIAL_POPULATION", raising=False)
    (tmp_path / "population").write_text("reader:very-secret\n")
    monkeypatch.setenv("MOTLAN_CREDENTIAL_POPULATION_FILE", str(tmp_path / "population"))
    assert registry.load(ROOT).dataset("population_citizens").source().credential == ("reader", "very-secret")


def test_a_credential_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_CREDENTIAL_POPULATION", "reader:very-secret")
    source = registry.load(ROOT).dataset("population_citizens").source()
    assert source.credential == ("reader", "very-secret")
    assert "very-secret" not in repr(source)


def test_an_unknown_dataset_is_told_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match="education_pupils"):
        registry.load(ROOT).dataset("nothing")


def test_the_declared_country_is_sound() -> None:
    found = registry.load(ROOT)
    assert set(found.agencies) == {"population", "insurance", "tax", "education"}
    assert found.entity("person").identity == ("personal_id", "full_name", "birth_date", "sex")
    for dataset in found.datasets.values():
        assert dataset.expressions
    for rule in (*found.row_rules, *found.cross_rules):
        assert rule.parsed.fields
