"""A registry of two datasets, with the attributes that the DAG files read. `FAKE_BROKEN` names one that is declared wrong."""

import os
from types import SimpleNamespace

from motlan.errors import ConfigurationError


def load() -> SimpleNamespace:
    names = {"toy_people": "toy", "toy_members": "toy"}
    names |= {f"toy_{number}": "toy" for number in range(int(os.environ.get("FAKE_FURTHER", "0")))}
    return SimpleNamespace(
        datasets={
            name: SimpleNamespace(
                name=name,
                agency=agency,
                schedule="0 2 * * *",
                title=SimpleNamespace(vi=f"Đồng bộ {name}", en=f"Sync of {name}"),
                freshness=86400,
                owner="Cơ quan thử nghiệm",
                entity="toy",
                capacity=2,
                pace={},
            )
            for name, agency in names.items()
        },
        entities={"toy": SimpleNamespace(name="toy")},
    )


def load_each(home=None):
    datasets = load().datasets
    if name := os.environ.get("FAKE_BROKEN"):
        del datasets[name]
        return datasets, {name: ConfigurationError("schedule: is no cron expression", where="agencies.yaml, line 3")}
    return datasets, {}


def offer_credentials(source: object) -> None:
    """No agency is reached here."""
