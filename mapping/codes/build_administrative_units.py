"""Rebuild provinces.csv and communes.csv from the data files of the package vietnamadminunits (MIT).

A code means nothing without its date: 3,316 of the 3,321 commune codes of July 2025 existed before, many under
another name. So every row is keyed by (code, valid_from), and `successors` names the units of July 2025 that an
old one became; the first one named is the package's default for divided units. `district` is there for addresses.

Only the package's data is read. Its `convert_address` sends addresses to a geocoding service and must never be
called. Run `python mapping/codes/build_administrative_units.py` in the development environment.
"""

import csv
import importlib.util
import json
import sqlite3
from pathlib import Path

HERE = Path(__file__).parent
REFORM = "2025-07-01"
Key = tuple[str, str]


def package_data() -> Path:
    """Find the package's data folder without importing the package (its import pulls a geocoder in)."""
    spec = importlib.util.find_spec("vietnamadminunits")
    if spec is None or spec.origin is None:
        raise SystemExit("install the development extras first: make dev")
    return Path(spec.origin).parent / "data"


def successor_names(data: Path) -> dict[str, list[Key]]:
    """Legacy key -> [(new province key, new commune key)], the default first."""
    converter = json.loads((data / "converter_2025.json").read_text(encoding="utf-8"))
    found: dict[str, list[Key]] = {}
    for province, communes in converter["DICT_PROVINCE_WARD_NO_DIVIDED"].items():
        for commune, legacy_keys in communes.items():
            for legacy in legacy_keys:
                found.setdefault(legacy, []).append((province, commune))
    for province, legacy_units in converter["DICT_PROVINCE_WARD_DIVIDED"].items():
        for legacy, parts in legacy_units.items():
            ordered = sorted(parts, key=lambda part: not part["isDefaultNewWard"])
            found.setdefault(legacy, []).extend((province, part["newWardKey"]) for part in ordered)
    return found


def write(name: str, header: list[str], rows: list[list[str]]) -> None:
    """Write one code list, sorted, so that a rebuild shows only what changed."""
    with (HERE / name).open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(sorted(rows))


def main() -> None:
    """Write both lists beside this file."""
    data = package_data()
    store = sqlite3.connect(f"file:{data / 'dataset.db'}?mode=ro", uri=True)
    successors = successor_names(data)
    new = {
        (province, commune): (code, name, province_code)
        for province, commune, code, name, province_code in store.execute(
            "select provinceKey, wardKey, wardCode, ward, provinceCode from admin_units"
        )
    }
    new_provinces = dict(store.execute("select distinct provinceKey, provinceCode from admin_units"))
    communes = [[code, REFORM, "", name, province, "", ""] for code, name, province in new.values()]
    became: dict[str, set[str]] = {}
    legacy = store.execute(
        "select provinceKey, districtKey, wardKey, wardCode, coalesce(ward, district), provinceCode, districtCode, district"
        " from admin_units_legacy"
    )
    for province, district, commune, code, name, province_code, district_code, district_name in legacy:
        parts = successors[f"{province}_{district}_{commune or ''}"]
        became.setdefault(province_code, set()).update(new_provinces[part[0]] for part in parts)
        codes = ";".join(dict.fromkeys(new[part][0] for part in parts))
        # Five island districts had no communes: the district's code stands in, marked by its three digits.
        communes.append([code or district_code, "", REFORM, name, province_code, district_name, codes])
    provinces = [
        [code, REFORM, "", name, ""]
        for code, name in store.execute("select distinct provinceCode, province from admin_units")
    ]
    provinces += [
        [code, "", REFORM, name, ";".join(sorted(became[code]))]
        for code, name in store.execute("select distinct provinceCode, province from admin_units_legacy")
    ]
    write("provinces.csv", ["code", "valid_from", "valid_to", "name", "successors"], provinces)
    write("communes.csv", ["code", "valid_from", "valid_to", "name", "province", "district", "successors"], communes)


if __name__ == "__main__":
    main()
