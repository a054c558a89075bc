"""A registry of two datasets, with the attributes that the DAG files read."""

from types import SimpleNamespace


def load() -> SimpleNamespace:
    names = {"toy_people": "toy", "toy_members": "toy"}
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
            )
            for name, agency in names.items()
        },
        entities={"toy": SimpleNamespace(name="toy")},
    )
