"""The canonical model: what the bus says about a thing, whatever words its sources use.

One definition: bulk checks, JSON Schema, data contracts, API models and tables derive from these classes. Every value
is text, as in the lake; the types say which text. This package imports pydantic and nothing of the bus.
"""

from collections.abc import Mapping

from pydantic import BaseModel

from schemas.person import Person

ENTITIES: Mapping[str, type[BaseModel]] = {"person": Person}
"""Name of an entity, as agencies.yaml uses it, to its model."""

__all__ = ["ENTITIES", "Person"]
