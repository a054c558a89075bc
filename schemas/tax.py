"""What a register of taxpayers knows about a person."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.common import Canonical, TaxCode


class Employed(Canonical):
    """A person with an employer or payer of income: two kinds of register know it."""

    employer_tax_code: TaxCode | None = Field(
        None, description="Tax code of the employer or payer (đơn vị sử dụng lao động, cơ quan chi trả)."
    )


class Taxpayer(Employed):
    """A taxpayer (người nộp thuế)."""

    tax_code: TaxCode | None = Field(None, description="Tax code (mã số thuế).")
    taxpayer_status: Annotated[str, StringConstraints(pattern=r"^(active|closed|awaiting_verification)$")] | None = (
        Field(
            None,
            description="Status (trạng thái); awaiting_verification: name, birth date and ID do not all match the citizens' "
            "register yet (status 10, reported).",
        )
    )
