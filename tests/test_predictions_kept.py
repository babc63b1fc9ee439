"""What the shipped models say of an image does not change unless somebody means it to.

`tests/data/shipped_predictions.parquet` holds what the weights of 2026-11-29 said, in float32 and one view,
of 50 rendered galaxies and of the challenge's 500 validation galaxies: numbers, neither images nor votes.
Some processors render a few galaxies differently, by a grey level or two: `pixels` is a digest of the image.
"""

from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

import galvote
from galvote.simulate import simulate_galaxies

KEPT = Path(__file__).parent / "data" / "shipped_predictions.parquet"
MADE_ON = "AVX2"  # other instruction sets add in another order
TOLERANCE = 1e-6 if torch.backends.cpu.get_cpu_capability() == MADE_ON else 2e-5


@pytest.fixture(scope="module")
def rendered():
    return [galaxy.image for galaxy in simulate_galaxies(50, seed=7)]


def kept(model: str, kind: str) -> pa.Table:
    table = pq.read_table(KEPT)
    return table.filter(pc.and_(pc.equal(table["model"], model), pc.equal(table["kind"], kind)))


def largest_change(model: str, table: pa.Table, images, field_of_view: float | None = None) -> float:
    before = np.array(table["fractions"].to_pylist(), np.float32)
    predictor = galvote.load(model, backend="torch-float32")
    return float(np.abs(predictor.predict(images, field_of_view=field_of_view).fractions - before).max())


@pytest.mark.parametrize("model", ["galvote-base", "galvote-small"])
def test_rendered_galaxies(model, rendered, one_thread) -> None:
    table = kept(model, "rendered")
    pixels = [blake2b(image.tobytes(), digest_size=8).hexdigest() for image in rendered]
    same = [row for row, digest in enumerate(table["pixels"].to_pylist()) if digest == pixels[row]]
    assert len(same) >= 10
    assert largest_change(model, table.take(same), [rendered[row] for row in same], 5.12) <= TOLERANCE


@pytest.mark.parametrize("model", ["galvote-base", "galvote-small"])
def test_validation_galaxies(model, real_galaxies, one_thread) -> None:
    table = kept(model, "validation")
    folder = real_galaxies / "galaxyzoo" / "images_training"
    paths = [folder / f"{galaxy}.jpg" for galaxy in table["id"].to_pylist()]
    assert largest_change(model, table, paths) <= TOLERANCE
