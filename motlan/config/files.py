"""How declared files are read: checked by pydantic, and a mistake is told with its file, its line and its mend.

The happy path uses the quick C loader; only where something is wrong is the file composed again, for its line numbers.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from motlan.errors import ConfigurationError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Dimension = Literal["accuracy", "completeness", "validity", "uniqueness", "timeliness", "consistency"]
"""The dimensions of quality, in the words of the Open Data Contract Standard and of ISO/IEC 25012. `validity` asks how a value
is written, `uniqueness` whether something stands twice."""
D = TypeVar("D", bound="Declared")
Place = Sequence[str | int]
"""Keys and positions from the top of a file down to a node."""


class Declared(BaseModel):
    """Base of everything declared: unknown keys are mistakes, not extensions."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Declared):
    """A text in both languages."""

    vi: str
    en: str


def declared_digest(home: Path) -> str:
    """Return a digest of what a country declares of its entities: all files of `mapping/` and `schemas/`."""
    found = hashlib.sha256()
    for folder in ("mapping", "schemas"):
        for path in sorted(
            one for one in (home / folder).rglob("*") if one.is_file() and "__pycache__" not in one.parts
        ):
            found.update(str(path.relative_to(home)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def plainly(english: str) -> Text:
    """Return a text of the bus's own, in English wherever the declared half has no other words for it."""
    return Text(vi=english, en=english)


def read(path: Path) -> dict[str, Any]:
    """Read a declared YAML file.

    Raises:
        ConfigurationError: It is missing, or is no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except OSError:
        raise ConfigurationError("cannot be read", where=str(path), next_step="check MOTLAN_HOME.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(str(error), where=str(path), next_step="mend the YAML there.") from None
    if not isinstance(content, dict):
        raise ConfigurationError("must be a mapping of names", where=str(path), next_step="see docs/.")
    return content


def line_of(path: Path, place: Place) -> int:
    """Return the line, from 1, at which a node of a YAML file stands; of its nearest parent where it is absent."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def refusal(what: str, path: Path, place: Place, mend: str) -> ConfigurationError:
    """Build the error that refuses a declaration: file and line, what is wrong, what to do."""
    where = f"{path.parent.name}/{path.name}, line {line_of(path, place)}"
    return ConfigurationError(what, where=where, next_step=mend)


def check(model: type[D], content: Any, path: Path, place: Place) -> D:
    """Check a node of a file against its model.

    Raises:
        ConfigurationError: It does not fit; the message names file, line, key and mend.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"{key}: {first['msg']}" if key else first["msg"]
        raise refusal(what, path, [*place, *first["loc"]], _mend(model, first)) from None


def _mend(model: type[Declared], error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        close = difflib.get_close_matches(key, model.model_fields, 1)
        return f"did you mean {close[0]}?" if close else f"drop it; known are {', '.join(model.model_fields)}."
    if error["type"] == "missing":
        return f"add the key {error['loc'][-1]}."
    expected: Mapping[str, Any] = error.get("ctx") or {}
    return f"write {expected['expected']}." if "expected" in expected else "mend that key."
