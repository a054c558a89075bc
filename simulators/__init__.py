"""A synthetic country: people who do not exist, and four agencies that keep registers of them over real protocols."""

from simulators.agencies import Agencies
from simulators.ranges import make_ranges
from simulators.world import make_world

__all__ = ["Agencies", "make_ranges", "make_world"]
