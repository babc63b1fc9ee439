"""Galaxies of known shape, as SDSS would have pictured them, with the votes of a simulated crowd."""

from galvote.images.simulate.crowd import answer_probabilities, ask_crowd, cumulative_fractions
from galvote.images.simulate.folder import write_galaxies
from galvote.images.simulate.galaxies import SimulatedGalaxy, simulate_galaxies
from galvote.images.simulate.render import render_galaxy
from galvote.images.simulate.shapes import GalaxyShape, draw_shape
from galvote.images.simulate.sheet import ContactSheet

__all__ = [
    "ContactSheet",
    "GalaxyShape",
    "SimulatedGalaxy",
    "answer_probabilities",
    "ask_crowd",
    "cumulative_fractions",
    "draw_shape",
    "render_galaxy",
    "simulate_galaxies",
    "write_galaxies",
]
