"""What a register of schools knows about a person."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.common import Canonical, EducationId, ShortText


class SchoolPerson(Canonical):
    """Anybody at a school."""

    education_id: EducationId | None = Field(None, description="Education ID (mã định danh Bộ GD&ĐT).")
    school: ShortText | None = Field(None, description="Code of the school (mã trường).")


class Enrolment(SchoolPerson):
    """A pupil (học sinh) in a school year."""

    school_class: Annotated[str, StringConstraints(pattern=r"^([1-9]|1[0-2])$")] | None = Field(
        None, description="Class (lớp), 1 to 12."
    )
    school_year: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{4}$")] | None = Field(
        None, description="School year (năm học), such as 2026-2027."
    )
    enrolment_status: Annotated[str, StringConstraints(pattern=r"^(enrolled|transferred|left|graduated)$")] | None = (
        Field(None, description="Status of the pupil (đang học, chuyển trường, thôi học, tốt nghiệp).")
    )


class SchoolStaff(SchoolPerson):
    """A teacher or another person who works at a school (giáo viên, nhân viên)."""

    staff_position: ShortText | None = Field(None, description="Position (chức vụ).")
    staff_status: Annotated[str, StringConstraints(pattern=r"^(working|retired|left)$")] | None = Field(
        None, description="Status of the post (đang làm, nghỉ hưu, nghỉ việc)."
    )
