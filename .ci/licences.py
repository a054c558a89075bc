"""The licences of what runs beside Motlan: writes docs/licences.md, and refuses what we may not ship with.

    .venv/bin/python .ci/licences.py           # write the page again
    .venv/bin/python .ci/licences.py --check   # exit 1 where it is out of date, or a licence is not allowed

Read from the metadata of the packages that requirements.lock names, as installed here; what only another system needs
is named as such. A package that offers several licences is taken under one that is allowed.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-celery.lock")
REFUSED = re.compile(
    r"\b(A?GPL|SSPL|BUSL|ELv2)|Affero|Business Source|Elastic|Server Side Public|General Public License"
)
LESSER = re.compile(r"LGPL|Lesser General Public License")
ELSEWHERE = "needed on other systems only"
HEAD = """# Licences of what runs beside Motlan

Made by `.ci/licences.py` from `requirements.lock` and `requirements-celery.lock`; do not edit. Motlan itself is Apache-2.0.

- **LGPL** packages ({lesser}) are imported as they are, unchanged, and can be replaced by another version: that is what the
  licence asks of a work that uses the library.
- A package that offers several licences is used under one that is not the GPL.
- GPL, AGPL, ELv2, BSL and SSPL are refused at run time: `.ci/run` fails on them.

| package | licence |
| --- | --- |
"""


def names() -> list[str]:
    """Return the packages that the lock files pin."""
    text = "".join(lock.read_text(encoding="utf-8") for lock in LOCKS)
    return sorted(set(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==", text, re.MULTILINE)))


def licences(package: Distribution) -> list[str]:
    """Return the licences that a package offers; all of them must be kept to where its expression says `AND`."""
    said = package.metadata
    if expression := said.get("License-Expression"):
        return re.split(r"\s+OR\s+", expression)
    named = [text.split("::")[-1].strip() for text in said.get_all("Classifier") or [] if text.startswith("License ::")]
    return [name for name in named if name != "OSI Approved"] or (said.get("License") or "").strip().splitlines()[:1]


def allowed(licence: str) -> bool:
    """Tell whether we may run beside something under a licence."""
    return bool(licence) and not REFUSED.search(LESSER.sub("", licence))


def main(check: bool) -> int:
    """Write the page, or check it. Returns the exit code."""
    rows, lesser, refused = [], [], []
    for name in sorted(names(), key=str.lower):
        try:
            offered = licences(distribution(name))
        except PackageNotFoundError:
            rows.append(f"| {name} | {ELSEWHERE} |")
            continue
        taken = [licence for licence in offered if allowed(licence)]
        if not taken:
            refused.append(f"{name}: {' or '.join(offered) or 'no licence is told'}")
        lesser += [name] if all(LESSER.search(licence) for licence in taken) else []
        rows.append(f"| {name} | {' or '.join(taken)} |")
    page = HEAD.format(lesser=", ".join(lesser)) + "\n".join(rows) + "\n"
    if refused:
        sys.stderr.write("licences that are not allowed at run time:\n  " + "\n  ".join(refused) + "\n")
        return 1
    if not check:
        PAGE.write_text(page, encoding="utf-8")
    elif _listed(page) != _listed(PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""):
        sys.stderr.write("docs/licences.md is out of date: run .venv/bin/python .ci/licences.py\n")
        return 1
    return 0


def _listed(page: str) -> set[str]:
    """Return the packages of a page: which of them are installed, another system answers otherwise."""
    return set(re.findall(r"^\| (\S+) \|", page, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
