"""The DAG files as Airflow reads them, from another working folder, and the retry policy of their tasks."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts(home_of: Any, facts_of: Any) -> dict[str, Any]:
    return facts_of({**home_of("facts"), "FACTS_PARSES": "100"})


@pytest.fixture(scope="module")
def many(home_of: Any, facts_of: Any) -> dict[str, Any]:
    return facts_of({**home_of("many"), "FAKE_FURTHER": "50", "MOTLAN_POOLS": "1"})


def test_the_files_import_from_the_root_folder(facts: dict[str, Any]) -> None:
    assert facts["broken"] == {}


def test_every_dataset_has_a_sync_of_its_name(facts: dict[str, Any]) -> None:
    assert set(facts["dags"]) == {
        "sync_toy_people",
        "sync_toy_members",
        "reconcile_toy",
        "publish_toy",
        "release_toy",
        "care_toy",
        "care_bus",
        "care_backup",
    }


def test_the_real_registry_gives_real_syncs_with_deadlines_where_these_are_asked_for(
    facts: dict[str, Any], home_of: Any, facts_of: Any
) -> None:
    real = facts_of({**home_of("real"), "PYTHONPATH": "", "MOTLAN_DEADLINES": "1"})
    assert real["broken"] == {}
    assert {real["dags"][f"sync_{name}"]["deadlines"] for name in real["datasets"]} == {1}
    assert facts["dags"]["sync_toy_people"]["deadlines"] == 0
    others = {"reconcile_person", "publish_person", "release_person", "care_person", "care_bus", "care_backup"}
    assert {f"sync_{name}" for name in real["datasets"]} | others == set(real["dags"])


def test_steps_run_in_their_order(facts: dict[str, Any]) -> None:
    tasks = {
        dag_id: sorted(dag["tasks"]) if dag_id.startswith("care") else dag["tasks"]
        for dag_id, dag in facts["dags"].items()
    }
    assert tasks == {
        "sync_toy_people": ["begin", "land", "clean", "commit"],
        "sync_toy_members": ["begin", "land", "clean", "commit"],
        "reconcile_toy": ["wait_for_publish_toy", "begin", "link", "merge", "cross_check", "diff"],
        "publish_toy": ["check_limits", "hold", "publish", "project"],
        "release_toy": ["ask"],
        "care_toy": ["care", "check_freshness", "recheck"],
        "care_bus": ["check_backup", "check_log", "clean_airflow", "expire"],
        "care_backup": ["backup"],
    }


@pytest.mark.parametrize("dag_id", ["sync_toy_people", "reconcile_toy"])
def test_no_step_runs_beside_another(facts: dict[str, Any], dag_id: str) -> None:
    dag = facts["dags"][dag_id]
    assert all(
        f"{before} > {after}" in dag["links"] for before, after in zip(dag["tasks"], dag["tasks"][1:], strict=False)
    )


def test_a_sync_keeps_the_declared_schedule_and_one_run_at_a_time(facts: dict[str, Any]) -> None:
    dag = facts["dags"]["sync_toy_people"]
    assert (dag["schedule"], dag["catchup"], dag["max_active_runs"]) == ("0 2 * * *", False, 1)
    assert dag["tags"] == ["motlan", "sync", "toy"]


def test_a_reconcile_can_be_asked_to_do_everything_anew(facts: dict[str, Any]) -> None:
    assert facts["dags"]["reconcile_toy"]["params"] == {"full": False, "incomplete": False}


def test_assets_chain_sync_reconcile_and_publish(facts: dict[str, Any]) -> None:
    dags = facts["dags"]
    assert dags["sync_toy_people"]["outlets"] == {"commit": ["motlan://datasets/toy_people"]}
    synced = ["motlan://datasets/toy_members", "motlan://datasets/toy_people", "motlan://synced/toy"]
    assert dags["reconcile_toy"]["assets"] == ["AssetAny", *synced]
    assert dags["reconcile_toy"]["outlets"] == {"diff": ["motlan://reconciled/toy"]}
    assert dags["publish_toy"]["assets"] == ["AssetAny", "motlan://reconciled/toy"]
    assert dags["publish_toy"]["outlets"] == {"hold": ["motlan://held/toy"]}
    assert dags["release_toy"]["assets"] == ["AssetAll", "motlan://held/toy"]
    assert dags["release_toy"]["outlets"] == {"ask": ["motlan://reconciled/toy"]}
    assert {dags[name]["clock"] for name in ("reconcile_toy", "publish_toy")} == {"0 5 * * *", "15,45 * * * *"}


def test_what_was_begun_is_finished_before_more_is_begun(facts: dict[str, Any]) -> None:
    weights = {name: set(dag["weights"].values()) for name, dag in facts["dags"].items()}
    assert (weights["publish_toy"], weights["reconcile_toy"], weights["sync_toy_people"]) == ({3}, {2}, {1})


def test_every_task_says_what_it_does_and_ends_in_time(facts: dict[str, Any]) -> None:
    for dag_id in ("sync_toy_people", "reconcile_toy", "publish_toy"):
        for task_id, (page, seconds) in facts["dags"][dag_id]["pages"].items():
            assert "\n\n" in page or " / " in page, task_id
            assert seconds or task_id.startswith("wait_for"), task_id


def test_the_form_of_a_sync_asks_how_much_is_pulled(facts: dict[str, Any]) -> None:
    assert facts["dags"]["sync_toy_people"]["params"] == {"mode": "incremental", "since": None, "dry_run": False}


def test_fifty_more_datasets_are_fifty_more_dags_of_as_many_files(facts: dict[str, Any], many: dict[str, Any]) -> None:
    assert len(many["dags"]) == len(facts["dags"]) + 50
    assert many["files"] == facts["files"] == 5


def test_pulls_share_the_capacity_of_their_agency(many: dict[str, Any]) -> None:
    pools = many["dags"]["sync_toy_people"]["pools"]
    assert pools == {"begin": "default_pool", "land": "agency_toy", "clean": "default_pool", "commit": "default_pool"}


def test_a_dataset_that_is_declared_wrong_takes_no_others_dag_away(home_of: Any, facts_of: Any) -> None:
    found = facts_of({**home_of("broken"), "FAKE_BROKEN": "toy_members"})
    assert found["broken"] == {}
    assert {"sync_toy_people", "sync_toy_members", "reconcile_toy", "publish_toy"} <= set(found["dags"])
    dag = found["dags"]["sync_toy_members"]
    assert (dag["tasks"], dag["tags"]) == (["declaration"], ["broken", "motlan", "sync"])
    assert "agencies.yaml, line 3" in dag["doc"]


def test_a_hundred_parses_make_the_same_dags(facts: dict[str, Any]) -> None:
    assert facts["versions"] == dict.fromkeys(facts["dags"], 1)


def test_parsing_reaches_no_network_and_no_database(facts: dict[str, Any]) -> None:
    assert facts["connections"] == []


def test_a_dag_explains_itself_in_both_languages(facts: dict[str, Any]) -> None:
    page = facts["dags"]["sync_toy_people"]["doc"]
    assert "Độ tươi đã cam kết: 24 giờ" in page
    assert "Promised freshness: 24 hours" in page


@pytest.mark.parametrize("kind", ["ContractError", "ConfigurationError", "AccessError", "DataError"])
def test_what_a_retry_cannot_mend_fails_at_once(facts: dict[str, Any], kind: str) -> None:
    assert facts["decisions"][kind] == ["fail", None]


def test_a_broken_line_is_tried_again_with_the_tasks_own_backoff(facts: dict[str, Any]) -> None:
    assert facts["decisions"]["TransientError"] == ["retry", None]
    assert facts["decisions"]["EngineError"] == ["retry", None]
    assert facts["decisions"]["InternalError"][0] == "fail"
    assert facts["decisions"]["asked to wait 1 s"] == ["retry", None]


def test_a_longer_wait_that_the_source_asked_for_is_kept(facts: dict[str, Any]) -> None:
    assert facts["decisions"]["asked to wait 600 s"] == ["retry", 600.0]


@pytest.mark.parametrize("kind", ["MotlanError", "ValueError"])
def test_the_unforeseen_is_tried_again(facts: dict[str, Any], kind: str) -> None:
    assert facts["decisions"][kind] == ["default", None]
