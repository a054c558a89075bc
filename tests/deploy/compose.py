"""Reads docker-compose.yml as a container engine does: anchors merged, variables replaced, secrets at their paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
SECRETS = "/run/secrets/"
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Z_]+)(?::([-?])([^}]*))?\})")


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Replace `${NAME:-default}`, `${NAME:?what is missing}` and `$$`, as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if name is None:
            return "$"
        if told := env.get(name):
            return told
        if kind == "?":
            raise KeyError(f"{name}: {rest}")
        return rest or ""

    return _VARIABLE.sub(value, text)


def load(env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the file says, with variables replaced."""

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: walk(value) for key, value in part.items()}
        if isinstance(part, list):
            return [walk(value) for value in part]
        return interpolate(part, env) if isinstance(part, str) else part

    found: dict[str, Any] = walk(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    return found
