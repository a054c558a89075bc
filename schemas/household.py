"""Who lives together: what a register of residence knows of households."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.common import Canonical, CommuneCode, PersonalId, ProvinceCode

Count = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d*)$")]
"""A whole number, as text like every value."""


class HouseholdMember(Canonical):
    """A person's place in a household (thành viên hộ gia đình): whose it is, and where."""

    household_head: PersonalId | None = Field(
        None, description="Personal ID of the head of the household (số định danh của chủ hộ)."
    )
    residence_commune: CommuneCode | None = Field(None, description="Commune of permanent residence (nơi thường trú).")
    residence_province: ProvinceCode | None = Field(
        None, description="Province of permanent residence (tỉnh, thành phố)."
    )


class Household(HouseholdMember):
    """A household (hộ gia đình), named by its head's personal ID."""

    household_members: Count | None = Field(None, description="Number of persons recorded in it (số thành viên).")
