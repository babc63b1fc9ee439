"""Galaxies of known shape, and the votes of their crowd."""

from galvote.simulate.crowd import answer_probabilities, ask_crowd, cumulative_fractions
from galvote.simulate.folder import write_galaxies
from galvote.simulate.galaxies import SimulatedGalaxy, simulate_galaxies
from galvote.simulate.render import render_galaxy
from galvote.simulate.shapes import GalaxyShape, draw_shape
from galvote.simulate.sheet import ContactSheet

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
