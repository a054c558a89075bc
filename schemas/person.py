"""A person as all registers together know them."""

from __future__ import annotations

from pydantic import Field

from schemas.common import (
    Canonical,
    CommuneCandidates,
    CommuneCode,
    EthnicityCode,
    MaritalStatus,
    OldIdentityNumber,
    PartialDate,
    PersonalId,
    PersonName,
    ProvinceCode,
    Sex,
)
from schemas.education import Enrolment, SchoolStaff
from schemas.insurance import Membership
from schemas.tax import Taxpayer


class Identity(Canonical):
    """Who a person is and where they live: what every register repeats."""

    personal_id: PersonalId | None = Field(
        None, description="Personal ID (số định danh cá nhân).", json_schema_extra={"identity": True}
    )
    old_identity_number: OldIdentityNumber | None = Field(None, description="Number of the old identity card (CMND).")
    full_name: PersonName | None = Field(
        None, description="Full name (họ, chữ đệm và tên khai sinh).", json_schema_extra={"identity": True}
    )
    birth_date: PartialDate | None = Field(
        None, description="Birth date (ngày, tháng, năm sinh).", json_schema_extra={"identity": True}
    )
    sex: Sex | None = Field(None, description="Sex (giới tính).", json_schema_extra={"identity": True})
    ethnicity: EthnicityCode | None = Field(None, description="Ethnic group (dân tộc).")
    marital_status: MaritalStatus | None = Field(None, description="Marital status (tình trạng hôn nhân).")
    birth_place: CommuneCode | None = Field(None, description="Commune of birth registration (nơi đăng ký khai sinh).")
    birth_province: ProvinceCode | None = Field(
        None, description="Province of birth registration, of before July 2025 (tỉnh đăng ký khai sinh)."
    )
    residence_commune: CommuneCode | None = Field(None, description="Commune of permanent residence (nơi thường trú).")
    residence_candidates: CommuneCandidates | None = Field(
        None,
        description="Communes that the residence may lie in, where a record names a unit that was divided "
        "(nơi thường trú thuộc đơn vị đã chia tách).",
    )
    residence_province: ProvinceCode | None = Field(
        None, description="Province of permanent residence (tỉnh, thành phố)."
    )
    death_date: PartialDate | None = Field(None, description="Date of death (ngày mất); absent of the living.")


class Person(SchoolStaff, Enrolment, Membership, Taxpayer, Identity):
    """A person: identity first, then what each kind of register adds. Every field may be absent."""
