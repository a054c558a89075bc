"""A lineage as W3C PROV: entities, activities and agents, in the JSON of the W3C's member submission PROV-JSON (24 April 2013).

Written here: the structure is a dozen kinds of records, and the ids are ours. A value is an entity that a merge generated from
what registers said; each of these a cleaning made of a landed row; a pull read that out of a payload, which its owner sent.
"""

from __future__ import annotations

import re
from typing import Any

from motlan import __version__

Tree = dict[str, Any]
PREFIXES = {"motlan": "urn:motlan:", "xsd": "http://www.w3.org/2001/XMLSchema#"}
BUS = "motlan:bus"
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def to_prov(told: Tree) -> Tree:
    """Return a lineage (see `motlan.lineage.trace.answer`) as a PROV-JSON document."""
    document = _Document()
    document.agent(BUS, "prov:SoftwareAgent", "Motlan", version=__version__)
    for chain in told["fields"]:
        _add_field(document, told["person"], chain)
    return document.written()


class _Document:
    """The records of a document, each once."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Tree]] = {}

    def entity(self, name: str, kind: str, label: str, **attributes: object) -> str:
        return self._add("entity", name, {"prov:type": _name(kind), "prov:label": label, **_ours(attributes)})

    def agent(self, name: str, kind: str, label: str, **attributes: object) -> str:
        return self._add("agent", name, {"prov:type": _name(kind), "prov:label": label, **_ours(attributes)})

    def activity(self, name: str, label: str, at: str | None = None, **attributes: object) -> str:
        moments = {"prov:startTime": at} if at else {}
        return self._add("activity", name, {**moments, "prov:label": label, **_ours(attributes)})

    def relate(self, kind: str, **ends: str) -> None:
        """Add a relation, such as `used`, by its ends, such as `activity` and `entity`."""
        record = {f"prov:{end}": name for end, name in ends.items()}
        self._add(kind, "_:" + _id(kind, *ends.values()), record)

    def written(self) -> Tree:
        return {"prefix": PREFIXES, **self._records}

    def _add(self, kind: str, name: str, record: Tree) -> str:
        self._records.setdefault(kind, {}).setdefault(name, record)
        return name


def _name(kind: str) -> Tree:
    return {"$": kind, "type": "xsd:QName"}


def _ours(attributes: Tree) -> Tree:
    return {f"motlan:{name}": str(value) for name, value in attributes.items() if value is not None}


def _id(*parts: object) -> str:
    return "-".join(_ODD.sub("_", str(part)) for part in parts)


def _add_field(document: _Document, person: str, chain: Tree) -> None:
    """Add a golden value, the merge that made it, what registers said, and where the winner came from."""
    field, decision, source = chain["field"], chain["decision"], chain["source"]
    value = document.entity(
        f"motlan:{_id('value', person, field)}",
        "motlan:GoldenValue",
        field,
        value=chain["value"],
        replays_equal=chain["replays_equal"],
    )
    since = chain["since"] or {}
    merge = document.activity(
        f"motlan:{_id('merge', person, field)}",
        "merge",
        since.get("recorded_at"),
        rule=decision["rule"],
        disputed=decision["disputed"],
        publication=since.get("publication"),
    )
    plan = document.entity(f"motlan:{_id('version', decision['version'])}", "prov:Plan", "how values are merged")
    document.relate("wasGeneratedBy", entity=value, activity=merge)
    document.relate("wasAssociatedWith", activity=merge, agent=BUS, plan=plan)
    for one in decision["said"]:
        row = _add_row(document, one["dataset"], one["key"], one["ref"])
        said = document.entity(
            f"motlan:{_id('said', one['ref'], field)}",
            "motlan:CanonicalValue",
            f"{one['dataset']} {one['key']} {field}",
            value=one["value"],
            outcome=one["outcome"],
            why=one["why"],
        )
        document.relate("used", activity=merge, entity=said)
        document.relate("wasDerivedFrom", generatedEntity=said, usedEntity=row)
        if one["outcome"] == "won":
            document.relate("wasDerivedFrom", generatedEntity=value, usedEntity=said)
            _add_source(document, source, said, row)
    _add_link(document, person, source)
    for one in chain["received"]:
        agency = document.agent(f"motlan:{_id('agency', one['agency'])}", "prov:Organization", one["agency"])
        served = document.activity(
            f"motlan:{_id('disclosure', one['agency'], one['at'])}",
            "disclosure",
            one["at"],
            feed_number=one["seq"],
            legal_basis=one["legal_basis"],
        )
        document.relate("used", activity=served, entity=value)
        document.relate("wasAssociatedWith", activity=served, agent=agency)


def _add_row(document: _Document, dataset: str, key: str, ref: str) -> str:
    return document.entity(f"motlan:{_id('row', ref)}", "motlan:LandedRow", f"{dataset} {key}", row=ref)


def _add_source(document: _Document, source: Tree, said: str, row: str) -> None:
    """Add how the winner was cleaned, landed and sent."""
    landed, cleaned = source["landed"], source["cleaned_by"]
    cleaning = document.activity(f"motlan:{_id('cleaning', said)}", "cleaning", expression=cleaned["expression"])
    plan = document.entity(f"motlan:{_id('version', cleaned['version'])}", "prov:Plan", "how rows are cleaned")
    document.relate("wasGeneratedBy", entity=said, activity=cleaning)
    document.relate("used", activity=cleaning, entity=row)
    document.relate("wasAssociatedWith", activity=cleaning, agent=BUS, plan=plan)
    payload = document.entity(
        f"motlan:{_id('payload', landed['payload_sha256'])}",
        "motlan:Payload",
        "file as received",
        sha256=landed["payload_sha256"],
    )
    pull = document.activity(
        f"motlan:{_id('run', landed['run'])}",
        f"pull of {source['dataset']}",
        landed["at"],
        adapter=(landed["adapter"] or {}).get("class"),
        adapter_version=(landed["adapter"] or {}).get("version"),
    )
    owner = document.agent(f"motlan:{_id('owner', source['owner'])}", "prov:Organization", source["owner"])
    document.relate("wasGeneratedBy", entity=row, activity=pull)
    document.relate("used", activity=pull, entity=payload)
    document.relate("wasAssociatedWith", activity=pull, agent=BUS)
    document.relate("wasDerivedFrom", generatedEntity=row, usedEntity=payload)
    document.relate("wasAttributedTo", entity=payload, agent=owner)


def _add_link(document: _Document, person: str, source: Tree) -> None:
    """Add why the record is this person's, and who decided."""
    link, ref = source["link"], source["landed"]["row"]
    row = f"motlan:{_id('row', ref)}"
    linking = document.activity(
        f"motlan:{_id('linking', ref)}",
        "linking",
        rule=link["rule"],
        match_weight=link["match_weight"],
        probability=link["probability"],
    )
    plan = document.entity(f"motlan:{_id('version', link['version'])}", "prov:Plan", "how records are linked")
    document.entity(f"motlan:{_id('person', person)}", "motlan:Person", person)
    document.relate("wasGeneratedBy", entity=f"motlan:{_id('person', person)}", activity=linking)
    document.relate("used", activity=linking, entity=row)
    document.relate("wasAssociatedWith", activity=linking, agent=BUS, plan=plan)
    if link["compared"]:
        other = link["compared"]
        document.relate(
            "used", activity=linking, entity=_add_row(document, other["dataset"], other["key"], other["ref"])
        )
    for one in link["reviewers"]:
        who = document.agent(f"motlan:{_id('reviewer', one['who'])}", "prov:Person", one["who"])
        document.relate("wasAssociatedWith", activity=linking, agent=who)
