"""Organisations, as far as registers of persons name them."""

from __future__ import annotations

from pydantic import Field

from schemas.household import Count
from schemas.tax import Employed


class Organisation(Employed):
    """An employer or payer of income (đơn vị sử dụng lao động, cơ quan chi trả), named by its tax code of ten digits."""

    linked_persons: Count | None = Field(
        None, description="Number of persons whose records name it (số người có hồ sơ ghi đơn vị này)."
    )
