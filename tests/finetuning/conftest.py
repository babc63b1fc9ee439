"""A trained model with a graph, and labels of simulated galaxies."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def parent(calibrated, build_once) -> Path:
    """Return the folder of a tiny model that predicts without torch."""
    import shutil

    import galvote

    def make(folder: Path) -> None:
        shutil.copytree(calibrated, folder / "tiny")
        galvote.export(folder / "tiny")

    return build_once("parent", make) / "tiny"


@pytest.fixture(scope="session")
def labels(simulated, tmp_path_factory) -> Path:
    """Return a table of classes: whether simulated volunteers saw features, in words and in numbers."""
    import numpy as np

    from galvote.labels import read_votes

    votes = read_votes(simulated / "training_solutions.csv")
    smooth = votes.fractions[:, 0] > np.median(votes.fractions[:, 0])
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    rows = (
        f"{id_},{'smooth' if one else 'disc'},{one:d}\n" for id_, one in zip(votes.ids, smooth, strict=True)
    )
    path.write_text("id,look,number\n" + "".join(rows))
    return path


@pytest.fixture(scope="session")
def numbers(simulated, tmp_path_factory) -> Path:
    """Return a table of numbers, 3 to 8 kpc, which fall with the fraction that saw no features."""
    from galvote.labels import read_votes

    votes = read_votes(simulated / "training_solutions.csv")
    path = tmp_path_factory.mktemp("numbers") / "numbers.csv"
    rows = (f"{id_},{8 - 5 * one[0]:.4f}\n" for id_, one in zip(votes.ids, votes.fractions, strict=True))
    path.write_text("id,bar length\n" + "".join(rows))
    return path
