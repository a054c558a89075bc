"""The canonical model: what the bus says about a thing, whatever words its sources use.

One definition: bulk checks, JSON Schema, data contracts, API models and tables derive from these classes. Every value
is text, as in the lake; the types say which text. This package imports pydantic and nothing of the bus.
"""

from collections.abc import Mapping

from pydantic import BaseModel

from schemas.education import Enrolment, SchoolStaff
from schemas.household import Household, HouseholdMember
from schemas.insurance import InsuranceMembership
from schemas.organisation import Organisation
from schemas.person import Person
from schemas.tax import Taxpayer

ENTITIES: Mapping[str, type[BaseModel]] = {
    "person": Person,
    "membership": InsuranceMembership,
    "taxpayer": Taxpayer,
    "enrolment": Enrolment,
    "school_staff": SchoolStaff,
    "household_member": HouseholdMember,
    "household": Household,
    "organisation": Organisation,
}
"""Name of an entity, as agencies.yaml and authority.yaml use it, to its model."""

__all__ = ["ENTITIES", "Person"]
