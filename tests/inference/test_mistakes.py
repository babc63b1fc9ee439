"""Simple mistakes in Python and on the command line are errors that say what to do."""

import math
import subprocess
import sys

import numpy as np
import pytest

import galvote
from galvote.errors import GalvoteError
from galvote.inference import Settings


@pytest.mark.parametrize("width", [math.nan, math.inf, 0.0, -1.0, 1e9])
def test_a_field_of_view_is_possible(width, command, real_galaxies, tmp_path):
    with pytest.raises(GalvoteError, match=r"field of view of .* is not possible"):
        Settings(field_of_view=width)
    ran = command("predict", real_galaxies, "--field-of-view", width, "--out", tmp_path / "x.csv")
    assert ran.returncode == 2 and "field of view of" in ran.stderr


def test_there_is_an_orientation_at_least():
    with pytest.raises(GalvoteError, match="tta of 0"):
        galvote.predict(np.zeros((64, 64, 3), np.uint8), tta=0)


WRONG_TYPES = """
import numpy as np
import galvote
from galvote.errors import GalvoteError
image = np.zeros((64, 64, 3), np.uint8)
for wrong in ({"level": "0.9"}, {"tta": 1.5}, {"field_of_view": "8"}):
    for verb in (galvote.predict, *([] if "field_of_view" in wrong else [galvote.find_field])):
        try:
            verb(image, **wrong)
        except GalvoteError as error:
            print(error)
"""


def test_wrong_types_are_named():
    ran = subprocess.run([sys.executable, "-c", WRONG_TYPES], capture_output=True, text=True, check=True)
    assert len(ran.stdout.splitlines()) == 5
