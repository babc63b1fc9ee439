"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_galaxies() -> Path:
    """Return the folder of real galaxies (with `galaxyzoo/`, `fits/`, `gz2_stripe82/`), or skip."""
    for place in (os.environ.get("GALVOTE_DATA"), Path(__file__).parents[2] / "shared"):
        if place and (Path(place) / "galaxyzoo" / "training_solutions.csv").is_file():
            return Path(place)
    pytest.skip("real galaxies not found: set GALVOTE_DATA to the folder that holds galaxyzoo/")
