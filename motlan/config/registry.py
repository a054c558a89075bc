"""Reads what a country declared (`MOTLAN_HOME`) into checked objects. Every other module reads it here.

The bus knows agencies, datasets and entities by the names it finds here, never by names of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from croniter import croniter
from pyarrow import RecordBatch
from pydantic import BaseModel, Field, field_validator

from motlan.adapter import Adapter, CursorType, Limits, Order, Pace, Source
from motlan.config import authority as believed
from motlan.config import quality, scoring
from motlan.config.authority import Authority, ChangeLimits, Related
from motlan.config.canonical import schema_rules
from motlan.config.files import Declared, Dimension, Name, Text, check, read, refusal
from motlan.config.functions import install_functions
from motlan.config.matching import Matching
from motlan.config.quality import CrossRule, RowRule
from motlan.config.storable import built_in
from motlan.errors import ConfigurationError
from motlan.expressions import Expression, parse
from motlan.expressions.catalogue import Catalogue, installed
from motlan.settings import declared_home, secret

_Bounds = TypeVar("_Bounds", Limits, Pace)
_Rule = TypeVar("_Rule", bound=quality.Rule)

VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")


class Dataset(Declared):
    """One dataset of one agency, as `agencies.yaml` and the mapping declare it.

    What stands at the agency (`endpoint`, `credential`, `owner`, `pace`, `limits`, ...) holds for its datasets.

    Attributes:
        name: Its key in `agencies.yaml`.
        agency: The agency's key there.
        title: Its name for people.
        owner: Who answers for it at the agency, with an address.
        adapter: `module:Class` that reaches it.
        entity: What its rows are about: a canonical entity of `schemas/`.
        endpoint: URL of the agency or of the gateway in front of it; may hold `${VARIABLE:-default}`.
        credential: Name of the credential: the variable `MOTLAN_CREDENTIAL_<NAME>`, or that of a file with
            it, `MOTLAN_CREDENTIAL_<NAME>_FILE`.
        key: Raw column that identifies a record and never changes.
        cursor: Raw column that orders changes.
        moment: Raw column of the moment at which a record was written.
        schedule: When it is pulled: cron, in the zone that `schedule_zone` beside `agencies` names (UTC where absent).
        page_rows: Rows of a page, where the source lets us choose.
        columns: Raw column -> path of the value inside a record, in the source's own words.
        options: What only this transport or format needs, such as an operation's or a view's name.
        pace: How fast we ask and how long we wait (see `Pace`).
        limits: What we accept at the most (see `Limits`).
    """

    name: Name
    agency: Name
    title: Text
    owner: str
    adapter: str
    entity: Name
    endpoint: str
    credential: str | None
    key: str
    cursor: str
    moment: str
    lag: int = Field(ge=0, description="What is read again before the watermark: seconds; of a sequence, numbers.")
    cursor_type: CursorType | None = Field(
        default=None, description="What the cursor is; where absent, as the adapter says."
    )
    cursor_zone: str = Field(
        default="UTC", description="IANA name of the zone of moments that are written without one."
    )
    order: Order | None = Field(
        default=None, description="Which of a record's versions stands; where absent, as the adapter says."
    )
    clock_difference: int = Field(default=300, ge=0, description="Seconds that the source's clock may be before ours.")
    schedule: str
    freshness: int = Field(gt=0, description="Promised age of the newest change, in seconds.")
    required: bool = Field(
        default=False, description="Whether nothing is reconciled and published before its first sync."
    )
    capacity: int = Field(
        default=1, gt=0, description="How many pulls the agency bears at a time, of all its datasets together."
    )
    contract: Literal["evolve", "freeze", "quarantine"] = Field(
        default="evolve",
        description="What a new, missing or retyped column does: is noted, stops the run, or sends its rows to quarantine.",
    )
    absent: Literal["ended", "kept"] = Field(
        default="ended", description="What becomes of a record that a pull of everything does not bring any more."
    )
    page_rows: int = Field(default=5000, gt=0)
    columns: dict[str, str]
    options: dict[str, Any] = Field(default={})
    pace: dict[str, float] = Field(default={})
    limits: dict[str, int] = Field(default={})
    zone: str = Field(
        default="", description="IANA name of the zone whose days the source's dates are; none where empty."
    )
    fields: dict[Name, str] = Field(description="Canonical field -> expression over raw columns.")

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str) -> str:
        if not croniter.is_valid(schedule):
            raise ValueError("is no cron expression, such as 30 2 * * *")
        return schedule

    @field_validator("cursor_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if not _is_zone(name):
            raise ValueError("is no zone of the IANA database, such as Europe/Paris")
        return name

    @cached_property
    def cursor_kind(self) -> CursorType:
        """What the cursor is, as declared or as the adapter says."""
        return self.cursor_type or self._adapter_class().cursor_type

    @cached_property
    def succession(self) -> Order:
        """Which of a record's versions stands (see `motlan.lake.newest`), as declared or as the adapter says."""
        return self.order or self._adapter_class().order

    @cached_property
    def expressions(self) -> dict[str, Expression]:
        """The mapping's expressions, parsed; where a call leaves its zone out, it is the dataset's."""
        where = f"mapping of {self.name}, field {{}}"
        parsed = {name: parse(text, where=where.format(name)) for name, text in self.fields.items()}
        return {name: made.completed(zone=self.zone) for name, made in parsed.items()} if self.zone else parsed

    @cached_property
    def mapped(self) -> quality.Mapped:
        """What row rules are asked of."""
        columns = self.columns.keys() - {self.key, self.cursor, self.moment}
        raw = {column: f"raw_{column}" for column in columns}
        sent = {field: made.sent(columns) for field, made in self.expressions.items()}
        named = {field: parse(text).with_names(raw) for field, text in sent.items() if text}
        return quality.Mapped(self.expressions, named)

    def columns_of(self, field: str) -> list[str]:
        """Return the raw columns that a field is made of, in the mapping's order, through other fields where it says so.

        The columns that every record has, of its key, its cursor and its moment, are not told: they only date the others.
        """
        found: list[str] = []
        for name in self.expressions[field].names:
            found += [name] if name in self.columns else self.columns_of(name)
        return [name for name in dict.fromkeys(found) if name not in (self.key, self.cursor, self.moment)]

    def source(self) -> Source:
        """Build what the adapter is told, with the credential resolved from the environment.

        Raises:
            ConfigurationError: A variable or the credential is missing.
        """
        return Source(
            agency=self.agency,
            dataset=self.name,
            endpoint=expand(self.endpoint, where=f"agencies.yaml, {self.agency}.endpoint"),
            credential=resolve_credential(self.credential, self.agency),
            key=self.key,
            cursor=self.cursor,
            columns=self.columns,
            page_rows=self.page_rows,
            limits=_bounds(Limits, self.limits, f"agencies.yaml, {self.agency}.limits"),
            pace=_bounds(Pace, self.pace, f"agencies.yaml, {self.agency}.pace"),
            options=self.options,
        )

    def offline_source(self) -> Source:
        """Build what an adapter is told to read kept payloads again: it reaches nothing, so it has no credential."""
        return Source(
            agency=self.agency,
            dataset=self.name,
            endpoint="",
            credential=None,
            key=self.key,
            cursor=self.cursor,
            columns=self.columns,
            page_rows=self.page_rows,
            limits=_bounds(Limits, self.limits, f"agencies.yaml, {self.agency}.limits"),
            options=self.options,
        )

    def read_again(self, payload: bytes, locator: str) -> Iterator[RecordBatch] | None:
        """Have the adapter read a kept payload again (see `Adapter.read_again`)."""
        return self._adapter_class().read_again(self.offline_source(), payload, locator)

    def open(self) -> Adapter:
        """Load the adapter that `agencies.yaml` names and give it its source."""
        return self._adapter_class()(self.source())

    def _adapter_class(self) -> type[Adapter]:
        module, _, attribute = self.adapter.partition(":")
        found = getattr(importlib.import_module(module), attribute, None)
        if not (isinstance(found, type) and issubclass(found, Adapter)):
            raise ConfigurationError(
                f"{self.adapter} is no adapter",
                where=f"agencies.yaml, {self.name}.adapter",
                next_step="write module:Class.",
            )
        return found


class Grant(Declared):
    """What an agency may read of an entity's feed, and on which legal basis: `mapping/grants.yaml`.

    Attributes:
        legal_basis: The text that allows it, for people.
        purpose: What the agency needs it for, in a few words for people; each of its reads is written down with both.
        fields: Fields of the entity that the agency sees.
    """

    legal_basis: str
    purpose: str = "to keep its register in step"
    fields: list[Name]


@dataclass(frozen=True)
class Entity:
    """A linked entity: what records of several registers are linked to, such as a person. Its fields in order, and which of
    them identify.
    """

    name: str
    model: type[BaseModel]
    fields: tuple[str, ...]
    identity: tuple[str, ...]
    authority: Mapping[str, Authority]
    matching: Matching
    grants: Mapping[str, Grant]
    limits: ChangeLimits

    @property
    def id_column(self) -> str:
        """Name of its ids' column where others read it, in the feeds and in PostgreSQL. In the bus it is `entity_id`."""
        return id_column(self.name)


def id_column(entity: str) -> str:
    """Return the name of the column of a linked entity's ids where others read it, such as `person_id`."""
    return f"{entity}_id"


@dataclass(frozen=True)
class RelatedEntity:
    """A canonical entity beside another: its fields in order, whose rows it is made of, and who may read it.

    `numbers` are those of its fields that name a person: field -> the field of the person that has this value.
    """

    name: str
    model: type[BaseModel]
    fields: tuple[str, ...]
    declared: Related
    grants: Mapping[str, Grant]
    numbers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """Everything declared.

    `schedule_zone` is the IANA name of the zone that schedules are written in (`schedule_zone` of `agencies.yaml`).
    """

    home: Path
    datasets: dict[str, Dataset]
    entities: dict[str, Entity]
    related_entities: dict[str, RelatedEntity]
    rules: quality.Rules
    scoring: scoring.Scoring
    dimensions: Mapping[Dimension, Text]
    messages: Mapping[str, Text]
    schedule_zone: str = "UTC"

    @property
    def row_rules(self) -> tuple[RowRule, ...]:
        """The rules asked of every row before linking."""
        return self.rules.rows

    @property
    def cross_rules(self) -> tuple[CrossRule, ...]:
        """The rules asked of a row beside its golden record."""
        return self.rules.cross

    @property
    def agencies(self) -> tuple[str, ...]:
        """Names of the agencies, in the order declared."""
        return tuple(dict.fromkeys(dataset.agency for dataset in self.datasets.values()))

    @property
    def code_lists(self) -> Path:
        """Folder of the code lists."""
        return self.home / "mapping" / "codes"

    def row_rules_of(self, dataset: Dataset) -> list[RowRule]:
        """Return the row rules as a dataset is asked them: of what the store holds, the canonical schema's, the declared ones."""
        fields = self.fields_about(dataset.entity)
        asked_here = (rule for rule in self.row_rules if rule.applies_to(dataset.name) and rule.is_about(fields))
        bound = (rule.bound(dataset.mapped) for rule in asked_here)
        asked = [rule for rule in bound if rule]
        read = dict.fromkeys(column for field in dataset.fields for column in dataset.columns_of(field))
        own = built_in(asked, read, Limits(**dataset.limits).field_length)
        return [*(self.worded(rule) for rule in own), *asked]

    def worded(self, rule: _Rule) -> _Rule:
        """Return a rule of the bus's own with the declared half's message, where it has one."""
        said = self.messages.get(rule.name)
        return rule.model_copy(update={"message": said}) if said else rule

    def dataset(self, name: str) -> Dataset:
        """Return a dataset.

        Raises:
            ConfigurationError: It is not declared.
        """
        if name not in self.datasets:
            raise ConfigurationError(f"there is no dataset {name}", next_step=f"use one of {', '.join(self.datasets)}.")
        return self.datasets[name]

    def entity(self, name: str) -> Entity:
        """Return an entity.

        Raises:
            ConfigurationError: It is not declared.
        """
        if name not in self.entities:
            raise ConfigurationError(f"there is no entity {name}", next_step=f"use one of {', '.join(self.entities)}.")
        return self.entities[name]

    def linked(self, name: str | None = None) -> Entity:
        """Return a linked entity by its name; by default the first that `matching.yaml` declares.

        Raises:
            ConfigurationError: It is not declared.
        """
        return self.entity(next(iter(self.entities)) if name is None else name)

    def rules_of(self, entity: str) -> quality.Rules:
        """Return the rules asked of an entity's rows: those that name one of its datasets, or none and read its fields."""
        return self.rules.of({dataset.name for dataset in self.datasets_of(entity)}, self.fields_about(entity))

    def fields_about(self, entity: str) -> frozenset[str]:
        """Return the fields that rules may ask an entity's rows about: its own, and those of the entities beside it."""
        return frozenset(
            {*self.entities[entity].fields, *(field for related in self.related_to(entity) for field in related.fields)}
        )

    def served(self, name: str) -> Entity | RelatedEntity:
        """Return an entity that has a feed, be it the main one or one beside it.

        Raises:
            ConfigurationError: It is not declared.
        """
        return self.related_entities[name] if name in self.related_entities else self.entity(name)

    def related_to(self, entity: str) -> list[RelatedEntity]:
        """Return the entities beside an entity."""
        return [related for related in self.related_entities.values() if related.declared.of == entity]

    def datasets_of(self, entity: str) -> list[Dataset]:
        """Return the datasets whose rows are about an entity, the spine's first."""
        spine = self.entities[entity].matching.spine
        found = [dataset for dataset in self.datasets.values() if dataset.entity == entity]
        return sorted(found, key=lambda dataset: (dataset.name not in spine, list(self.datasets).index(dataset.name)))


def _bounds(kind: type[_Bounds], declared: Mapping[str, float], where: str) -> _Bounds:
    """Make limits or a pace of what is declared, whole where the default is whole.

    Raises:
        ConfigurationError: There is no such bound, or it is none.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    if unknown := declared.keys() - defaults.keys():
        step = f"use {', '.join(defaults)}."
        raise ConfigurationError(f"there is no {sorted(unknown)[0]}", where=where, next_step=step)
    # A first wait of nothing and a rate of nothing are sensible; a time, a number or a size of nothing is not.
    for name, value in declared.items():
        least = 0 if name in ("first_wait", "max_wait", "least_bytes_per_second", "least_page_rows") else 1e-9
        whole = not isinstance(defaults[name], int) or value == int(value)
        if not (least <= value < inf and whole):
            raise ConfigurationError(f"{name} is no bound", where=where, next_step="write a number above 0.")
    bounds: Any = {name: type(defaults[name])(value) for name, value in declared.items()}
    return kind(**bounds)


def expand(text: str, *, where: str) -> str:
    """Replace `${NAME:-default}` by the environment's value."""

    def value(found: re.Match[str]) -> str:
        replacement = os.environ.get(found.group(1), found.group(2))
        if replacement is None:
            raise ConfigurationError(f"{found.group(1)} is not set", where=where, next_step="export it.")
        return replacement

    return VARIABLE.sub(value, text)


CredentialSource = Callable[[str], tuple[str, str] | None]
"""Gives user and secret of an agency; None where it has none."""
_credential_sources: list[CredentialSource] = []


def offer_credentials(source: CredentialSource) -> None:
    """Have agencies' credentials looked up in a further place, such as a scheduler's connections, where the environment has none.

    Args:
        source: Is called with an agency's name when its source is opened; a second offer of the same one changes nothing.
    """
    if source not in _credential_sources:
        _credential_sources.append(source)


def resolve_credential(name: str | None, agency: str) -> tuple[str, str] | None:
    """Find a credential by its name: `MOTLAN_CREDENTIAL_<NAME>=user:secret`, its file, or else what was offered.

    Raises:
        ConfigurationError: There is none. The variable and the connection are named.
    """
    if name is None:
        return None
    variable = f"MOTLAN_CREDENTIAL_{name}"
    told = secret(variable)
    if told is None:
        offered = (source(agency) for source in _credential_sources)
        if found := next((credential for credential in offered if credential), None):
            return found
    user, colon, word = (told or "").partition(":")
    if not colon:
        raise ConfigurationError(
            f"no credential for {agency}" if told is None else f"the credential for {agency} has no colon in it",
            where=variable,
            next_step=f"set {variable} to user:secret, or {variable}_FILE to a file of it; in Airflow the connection "
            f"motlan_{agency} (login and password) does as well.",
        )
    return user, word


def _datasets(home: Path) -> dict[str, Dataset]:
    found = {}
    for name, dataset in _each_dataset(home):
        if isinstance(dataset, ConfigurationError):
            raise dataset
        found[name] = dataset
    return found


def _each_dataset(home: Path) -> Iterator[tuple[str, Dataset | ConfigurationError]]:
    """Give every dataset of `agencies.yaml` as it and its mapping declare it, or what is wrong with it."""
    path = home / "adapters" / "agencies.yaml"
    for agency, declared in read(path).get("agencies", {}).items():
        for name in declared.get("datasets", {}):
            try:
                yield name, _dataset(path, home / "mapping" / f"{agency}.yaml", agency, declared, name)
            except ConfigurationError as error:
                yield name, error


def _dataset(path: Path, mapping_file: Path, agency: str, declared: Mapping[str, Any], name: str) -> Dataset:
    mapping = read(mapping_file)
    if name not in mapping:
        raise ConfigurationError(f"{name} is not mapped", where=str(mapping_file), next_step="map its fields.")
    shared = {key: declared[key] for key in _SHARED if key in declared}
    fields = {**mapping[name].get("fields", {}), **mapping[name].get("related_entities", {})}
    content = {**shared, **declared["datasets"][name], "name": name, "agency": agency, "fields": fields}
    content |= {"zone": mapping[name]["zone"]} if "zone" in mapping[name] else {}
    dataset = check(Dataset, content, path, ("agencies", agency, "datasets", name))
    _bounds(Limits, dataset.limits, f"{path}, {agency}.limits")
    _bounds(Pace, dataset.pace, f"{path}, {agency}.pace")
    return dataset


_SHARED = ("endpoint", "credential", "pace", "limits", "owner", "cursor_zone", "clock_difference", "order", "capacity")
"""What stands at the agency and holds for its datasets."""


def load_each(home: Path | None = None) -> tuple[dict[str, Dataset], dict[str, ConfigurationError]]:
    """Read the datasets, each for itself: one that is wrong takes no other's schedule away.

    Rules, entities and what refers from one file to another are not checked: `load` does before anything runs.

    Returns:
        The datasets that can be read, and what is wrong with each other one, by their names.

    Raises:
        ConfigurationError: `agencies.yaml` itself cannot be read.
    """
    home = home or declared_home()
    right: dict[str, Dataset] = {}
    wrong: dict[str, ConfigurationError] = {}
    for name, dataset in _each_dataset(home):
        if isinstance(dataset, ConfigurationError):
            wrong[str(name)] = dataset
        else:
            right[name] = dataset
    return right, wrong


def _entities(home: Path, datasets: dict[str, Dataset]) -> dict[str, Entity]:
    models: Mapping[str, type[BaseModel]] = importlib.import_module("schemas").ENTITIES
    files = {kind: home / "mapping" / f"{kind}.yaml" for kind in ("authority", "matching", "grants")}
    authority, matching, grants = (read(path) for path in files.values())
    used = {dataset.entity for dataset in datasets.values()}
    found: dict[str, Entity] = {}
    for name in sorted(used, key=lambda name: (list(matching).index(name) if name in matching else -1, name)):
        if name not in models:
            raise ConfigurationError(f"no model of {name}", where="schemas", next_step="add it to schemas.ENTITIES.")
        for kind, declared in (("authority", authority), ("matching", matching)):
            if name not in declared:
                raise refusal(f"{name} has datasets and is not declared here", files[kind], [], f"declare {name}.")
        fields = models[name].model_fields
        extras = {field: info.json_schema_extra for field, info in fields.items()}
        identity = [field for field, extra in extras.items() if isinstance(extra, dict) and extra.get("identity")]
        found[name] = Entity(
            name=name,
            model=models[name],
            fields=tuple(fields),
            identity=tuple(identity),
            authority={
                field: check(Authority, authority[name].get(field, {}), files["authority"], (name, field))
                for field in fields
            },
            matching=check(Matching, matching[name], files["matching"], (name,)),
            grants={
                agency: check(Grant, content, files["grants"], (name, agency))
                for agency, content in grants.get(name, {}).items()
            },
            limits=believed.limits(home, name, frozenset(fields)),
        )
        believed.check_names(files["authority"], name, found[name].authority, datasets)
    return found


def _related_entities(
    home: Path, datasets: dict[str, Dataset], entities: dict[str, Entity]
) -> dict[str, RelatedEntity]:
    models: Mapping[str, type[BaseModel]] = importlib.import_module("schemas").ENTITIES
    file, grants = home / "mapping" / "authority.yaml", home / "mapping" / "grants.yaml"
    granted = read(grants)
    found: dict[str, RelatedEntity] = {}
    for name, declared in read(file).items():
        if name in entities:
            continue
        if name not in models:
            raise refusal(f"no model of {name}", file, [name], "add it to schemas.ENTITIES.")
        related = check(Related, declared, file, (name,))
        for dataset in related.authority:
            if dataset not in datasets or datasets[dataset].entity != related.of:
                what = f"no dataset {dataset} of {related.of}"
                raise refusal(what, file, [name, "authority"], "use one of agencies.yaml.")
        fields = tuple(models[name].model_fields)
        in_force = parse(related.in_force, where=f"authority.yaml, {name}.in_force").fields if related.in_force else ()
        for field in (related.key, related.count, *in_force):
            if field and field not in fields:
                raise refusal(f"{name} has no field {field}", file, [name], "see schemas/.")
        own = granted.get(name, {}).items()
        allowed = {agency: check(Grant, content, grants, (name, agency)) for agency, content in own}
        found[name] = RelatedEntity(name, models[name], fields, related, allowed)
    named = {(one.declared.of, one.declared.key): one.declared.person for one in found.values() if one.declared.person}
    return {
        name: replace(
            one, numbers={field: told for field in one.fields if (told := named.get((one.declared.of, field)))}
        )
        for name, one in found.items()
    }


def _schedule_zone(home: Path) -> str:
    """Read the zone that schedules are written in."""
    file = home / "adapters" / "agencies.yaml"
    name = read(file).get("schedule_zone", "UTC")
    if not _is_zone(name):
        raise refusal(
            f"{name} is no zone of the IANA database", file, ["schedule_zone"], "write one such as Europe/Paris."
        )
    return str(name)


def _is_zone(name: object) -> bool:
    try:
        ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        return False
    return True


def _messages(path: Path) -> dict[str, Text]:
    """Read what people are told where a rule of the bus's own is broken, where the declared half has words for it."""
    content = read(path) if path.exists() else {}
    return {name: check(Text, said, path, (name,)) for name, said in content.items()}


def _cross_check(
    datasets: dict[str, Dataset], entities: dict[str, Entity], related_entities: dict[str, RelatedEntity]
) -> None:
    """Refuse names that lead nowhere, before anything runs."""
    for dataset in datasets.values():
        mine = [related for related in related_entities.values() if dataset.name in related.declared.authority]
        known = {*entities[dataset.entity].fields, *(field for related in mine for field in related.fields)}
        for field, expression in dataset.expressions.items():
            where = f"mapping/{dataset.agency}.yaml, {dataset.name}.{field}"
            if field not in known:
                raise ConfigurationError(f"{dataset.entity} has no such field", where=where, next_step="see schemas/.")
            if unknown := expression.fields - set(dataset.columns) - (set(dataset.fields) - {field}):
                raise ConfigurationError(
                    f"no raw column {sorted(unknown)[0]}", where=where, next_step="declare it in agencies.yaml."
                )
        for column in (dataset.key, dataset.moment):
            if column not in dataset.columns:
                raise ConfigurationError(f"no raw column {column}", where=f"agencies.yaml, {dataset.name}")


def load(home: Path | None = None) -> Registry:
    """Read and check everything declared.

    Args:
        home: The folder of the declared half; by default as the settings say.

    Raises:
        ConfigurationError: Something is missing or wrong; the message names file, place and mend.
    """
    if home is None:
        from motlan.settings import load as load_settings

        home = load_settings().home
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    install_functions(home)
    models = importlib.import_module("schemas").ENTITIES
    return _checked(home, _content(home), tuple(models.items()), installed())


def load_beside(home: Path) -> Registry:
    """Read and check another declared half than this process works for, with the schemas and functions of this one.

    Args:
        home: Its folder.

    Raises:
        ConfigurationError: Something is missing or wrong; the message names file, place and mend.
    """
    models = importlib.import_module("schemas").ENTITIES
    return _checked(home, _content(home), tuple(models.items()), installed())


def _content(home: Path) -> str:
    """Return a digest of all that is read of the declared half."""
    digest = hashlib.sha256()
    for path in [home / "adapters" / "agencies.yaml", *sorted((home / "mapping").glob("*.yaml"))]:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@lru_cache(maxsize=4)
def _checked(
    home: Path, _content: str, _models: tuple[tuple[str, type[BaseModel]], ...], _functions: Catalogue
) -> Registry:
    """Read and check everything, once for as long as it stays as it is: every step of a run asks for it."""
    datasets = _datasets(home)
    entities = _entities(home, datasets)
    related_entities = _related_entities(home, datasets, entities)
    _cross_check(datasets, entities, related_entities)
    fields = frozenset(field for entity in entities.values() for field in entity.fields)
    known = quality.Known(
        mapped={name: frozenset(dataset.fields) for name, dataset in datasets.items()},
        sent={name: frozenset(dataset.mapped.sent) for name, dataset in datasets.items()},
        entities={name: dataset.entity for name, dataset in datasets.items()},
        fields=fields,
    )
    spine = [name for entity in entities.values() for name in entity.matching.spine]
    models = [
        *(entity.model for entity in entities.values()),
        *(related.model for related in related_entities.values()),
    ]
    messages = _messages(home / "mapping" / "messages.yaml")
    made = schema_rules(models, messages.get("schema"))
    return Registry(
        home=home,
        datasets=datasets,
        entities=entities,
        related_entities=related_entities,
        rules=quality.load(home / "mapping" / "quality.yaml", known, made, quality.spine_rules(spine, messages)),
        scoring=scoring.load(home / "mapping" / "scoring.yaml", frozenset(datasets), fields),
        dimensions=scoring.load_dimensions(home / "mapping" / "dimensions.yaml"),
        messages=messages,
        schedule_zone=_schedule_zone(home),
    )
