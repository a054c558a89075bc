"""What may run beside the bus: `.ci/licences.py` refuses what it must."""

import runpy
from pathlib import Path

import pytest

LICENCES = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "licences.py"))


@pytest.mark.parametrize(
    ("licence", "answer"),
    [
        ("MIT", True),
        ("LGPL-3.0-only", True),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", True),
        ("GPL-3.0-only", False),
        ("GNU General Public License v2 or later (GPLv2+)", False),
        ("AGPL-3.0-or-later", False),
        ("GNU Affero General Public License v3", False),
        ("Elastic License 2.0", False),
        ("ELv2", False),
        ("BUSL-1.1", False),
        ("Business Source License 1.1", False),
        ("SSPL-1.0", False),
        ("MIT AND GPL-2.0-only", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_or_refused(licence: str, answer: bool) -> None:
    assert LICENCES["allowed"](licence) is answer
