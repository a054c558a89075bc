"""What a register of insured people knows about a person."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.common import HealthCardNumber, PartialDate, SocialCode
from schemas.tax import Employed


class Membership(Employed):
    """A member of social and health insurance (người tham gia BHXH, BHYT)."""

    social_insurance_code: SocialCode | None = Field(None, description="Social-insurance code (mã số BHXH).")
    health_card_number: HealthCardNumber | None = Field(None, description="Health-card number (số thẻ BHYT).")
    insurance_status: Annotated[str, StringConstraints(pattern=r"^(active|paused|closed)$")] | None = Field(
        None, description="Status of membership (trạng thái tham gia)."
    )


class InsuranceMembership(Membership):
    """A membership as an entity of its own, with what only its register uses."""

    insured_since: PartialDate | None = Field(None, description="First day of insurance (tham gia từ ngày).")
