"""`galvote simulate` as a user runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from galvote.io import list_sources
from galvote.labels import match_ids, read_votes


def galvote(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "galvote", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_simulated_galaxies_are_read_like_real_ones(tmp_path: Path) -> None:
    out, sheet = tmp_path / "galaxies", tmp_path / "sheet.png"
    arguments = ("simulate", "--count", 12, "--seed", 4, "--out", out, "--sheet", sheet)
    done = galvote(*arguments)
    assert done.returncode == 0, done.stderr
    assert "12 galaxies" in done.stdout
    votes = read_votes([out / "training_solutions.csv"])
    match = match_ids(votes, list_sources([out / "images_training"]))
    assert len(match.votes) == 12
    assert match.votes_without_image == match.images_without_votes == 0
    counted = read_votes([out / "vote_counts.csv"])
    assert counted.ids == votes.ids
    np.testing.assert_allclose(counted.fractions, votes.fractions, atol=2e-5)
    with Image.open(sheet) as shown:
        assert shown.width == 7 * 130

    again = galvote(*arguments)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr
    assert galvote(*arguments, "--overwrite").returncode == 0


def test_wrong_sizes_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    done = galvote("simulate", "--count", 1, "--out", tmp_path / "galaxies", "--pixels", 200)
    assert done.returncode == 2
    assert "128 or 424" in done.stderr
    assert not (tmp_path / "galaxies").exists()
