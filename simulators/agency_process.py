"""Entry point of one agency's process: `python -m simulators.agency_process NAME --world DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Serve one agency; each imports only what it needs, so that all four start fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("agency", choices=("population", "insurance", "tax", "education"))
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--form", choices=("qcvn109", "flat"), default="qcvn109")
    parser.add_argument("--capacity", type=float, default=20)
    given = parser.parse_args()
    if given.agency == "population":
        from simulators import population

        population.serve(given.world, given.port, given.form)
    elif given.agency == "insurance":
        from simulators import insurance

        insurance.serve(given.world, given.port, given.capacity)
    elif given.agency == "tax":
        from simulators import tax

        tax.serve(given.world, given.port)
    else:
        from simulators import education

        education.serve(given.world)


if __name__ == "__main__":
    main()
