"""Types of canonical values, each with its pattern and the law, standard or fact behind it.

Facts marked "reported" in docs/explanation/domain.md were read in secondary sources; the patterns here stay as wide as they are
unsure. A pattern tells form only: whether a number obeys deeper rules (check digits, code lists) is a row rule.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Canonical(BaseModel):
    """Base of canonical models: unknown fields are mistakes, values never change in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)


PersonalId = Annotated[
    str,
    StringConstraints(pattern=r"^\d{12}$"),
    Field(
        title="Số định danh cá nhân",
        description="Twelve digits PPP G YY NNNNNN: place of birth registration, century and sex, year, random "
        "(Law on Identification 26/2023; Circular 59/2021 of the Ministry of Public Security). Not a key: a number can be "
        "cancelled and another established.",
    ),
]

OldIdentityNumber = Annotated[
    str,
    StringConstraints(pattern=r"^\d{9}$"),
    Field(
        title="Số CMND",
        description="Number of the old identity card, nine digits (Decree 05/1999). Not unique for life.",
    ),
]

PersonName = Annotated[
    str,
    StringConstraints(pattern=r"^\S+( \S+)*$", max_length=200),
    Field(
        title="Họ, chữ đệm và tên",
        description="Family name, middle names, given name, in Unicode NFC (TCVN 6909:2001; UAX #15), single spaces, "
        "proper case, tone marks of open oa, oe, uy on the first vowel.",
    ),
]

PartialDate = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$"),
    Field(
        title="Ngày, tháng, năm",
        description="Date as precise as it is known: YYYY, YYYY-MM or YYYY-MM-DD (ISO 8601-1:2019, reduced precision).",
    ),
]

Moment = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"),
    Field(
        title="Thời điểm", description="Moment in UTC with microseconds (RFC 3339), so that texts sort as moments do."
    ),
]

Sex = Annotated[
    str,
    StringConstraints(pattern=r"^(male|female)$"),
    Field(title="Giới tính", description="male (nam) or female (nữ); absent where the register does not know."),
]

EthnicityCode = Annotated[
    str,
    StringConstraints(pattern=r"^(0[1-9]|[1-4]\d|5[0-5])$"),
    Field(
        title="Dân tộc",
        description="Ethnic group: 01 to 54 of Decision 121-TCTK/PPCĐ (1979), 55 for foreigners.",
    ),
]

MaritalStatus = Annotated[
    str,
    StringConstraints(pattern=r"^(single|married|divorced_or_widowed)$"),
    Field(title="Tình trạng hôn nhân", description="Codes 1, 2, 3 of QCVN 109:2017/BTTTT (reported)."),
]

CommuneCode = Annotated[
    str,
    StringConstraints(pattern=r"^\d{5}$"),
    Field(
        title="Mã đơn vị hành chính cấp xã",
        description="Commune of July 2025 (3,321 units, Decision 19/2025/QĐ-TTg). Older codes are read by their date.",
    ),
]

CommuneCandidates = Annotated[
    str,
    StringConstraints(pattern=r"^\d{5}(;\d{5})+$"),
    Field(
        title="Các đơn vị hành chính cấp xã có thể",
        description="Communes of July 2025 among which one unit was divided, the likeliest first.",
    ),
]

ProvinceCode = Annotated[
    str,
    StringConstraints(pattern=r"^\d{2}$"),
    Field(
        title="Mã đơn vị hành chính cấp tỉnh", description="Province of July 2025 (34 units, Resolution 202/2025/QH15)."
    ),
]

TaxCode = Annotated[
    str,
    StringConstraints(pattern=r"^(\d{10}|\d{12}|\d{13})$"),
    Field(
        title="Mã số thuế",
        description="10 digits with a check digit, 13 with a branch, or since July 2025 the 12 of the personal ID "
        "(Circular 86/2024 of the Ministry of Finance).",
    ),
]

SocialCode = Annotated[
    str,
    StringConstraints(pattern=r"^(\d{10}|\d{12})$"),
    Field(title="Mã số BHXH", description="10 digits (Decision 595/QĐ-BHXH); 12 where the personal ID replaced it."),
]

HealthCardNumber = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{2}[1-5]\d{12}$"),
    Field(
        title="Số thẻ BHYT",
        description="Object of insurance, benefit level 1 to 5, province, social-insurance code (Decision 1351/QĐ-BHXH).",
    ),
]

EducationId = Annotated[
    str,
    StringConstraints(pattern=r"^\d{10}$"),
    Field(title="Mã định danh Bộ GD&ĐT", description="Ten digits, fixed for life, beside the personal ID (reported)."),
]

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""A word or code of a register that has no list of its own."""
