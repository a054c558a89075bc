"""Airflow's pools, one an agency: no more pulls at a time than it bears (`capacity` in agencies.yaml).

`python -m motlan_airflow.pools` makes them, in the environment of an Airflow whose tables are there; run it again when
agencies.yaml has changed. `MOTLAN_POOLS=1` lets the DAGs use them: a task whose pool is missing would wait for ever.
"""

from __future__ import annotations

from motlan.config import registry


def capacities() -> dict[str, int]:
    """Return how many pulls each agency bears at a time."""
    return {dataset.agency: dataset.capacity for dataset in registry.load_each()[0].values()}


def make() -> None:
    """Make or renew the pools."""
    from airflow.models.pool import Pool

    for agency, slots in capacities().items():
        Pool.create_or_update_pool(
            name=f"agency_{agency}", slots=slots, description="Motlan: pulls at a time", include_deferred=False
        )


if __name__ == "__main__":
    make()
