"""Galaxies of known shape, and the votes of simulated volunteers."""

from galvote.simulate.folder import write_galaxies
from galvote.simulate.galaxies import SimulatedGalaxy, simulate_galaxies
from galvote.simulate.sheet import ContactSheet

__all__ = ["ContactSheet", "SimulatedGalaxy", "simulate_galaxies", "write_galaxies"]
