"""Simple mistakes in Python and on the command line are errors that say what to do."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import galvote
from galvote.errors import GalvoteError, ModelError
from galvote.inference import Settings
from galvote.weights import FOLDER


@pytest.mark.parametrize("width", [math.nan, math.inf, 0.0, -1.0, 1e9])
def test_a_field_of_view_is_possible(width, command, tmp_path):
    with pytest.raises(GalvoteError, match=r"field of view of .* is not possible"):
        Settings(field_of_view=width)
    ran = command("predict", tmp_path, "--field-of-view", width, "--out", tmp_path / "x.csv")
    assert ran.returncode == 2 and "field of view of" in ran.stderr


def test_there_is_an_orientation_at_least():
    with pytest.raises(GalvoteError, match="tta of 0"):
        galvote.predict(np.zeros((64, 64, 3), np.uint8), tta=0)


def test_an_option_that_would_do_nothing_is_refused(command, tmp_path):
    out, votes = tmp_path / "x.csv", tmp_path / "votes.csv"
    for ask, message in (
        (("predict", tmp_path, "--format", "challenge", "--conditional"), "leave out --conditional"),
        (("predict", tmp_path, "--size-factor", 2), "only with --pixel-scale"),
        (("predict", tmp_path, "--size-column", "r"), "Name either images or a --catalogue"),
    ):
        ran = command(*ask, "--out", out)
        assert ran.returncode == 2 and message in " ".join(ran.stderr.split()), ran.stderr
    for option in (
        "--tta=8",
        "--field-of-view=9",
        "--scale=auto",
        "--bands=0",
        "--stretch=asinh",
        "--backend=onnx",
    ):
        ran = command("evaluate", "--votes", votes, "--predictions", votes, option)
        assert ran.returncode == 2 and "this needs a model" in ran.stderr, ran.stderr
    ran = command("evaluate", "--votes", votes, "--predictions", votes, "--size-column", "r")
    assert ran.returncode == 2 and "only with --pixel-scale" in ran.stderr
    image = np.zeros((64, 64, 3), np.uint8)
    loaded = galvote.load("galvote-small")
    for verb in (galvote.predict, galvote.find_field):
        with pytest.raises(GalvoteError, match="leave out backend="):
            verb(image, model=loaded, backend="onnx")
    with pytest.raises(GalvoteError, match="8 to 2048 pixels"):
        galvote.cutouts("x.csv", tmp_path / "c", pixels=4)


@pytest.mark.parametrize(("name", "backend"), [("network-int8.onnx", "onnx"), ("network.onnx", "openvino")])
def test_a_graph_that_is_damaged_or_of_another_model_is_refused(name, backend, tmp_path):
    pytest.importorskip(backend.replace("onnx", "onnxruntime"))
    folder = Path(shutil.copytree(FOLDER / "galvote-small", tmp_path / "own"))
    whole = (folder / name).read_bytes()
    for data, wrong in (
        (whole[: len(whole) // 2], "it is damaged"),
        (b"", "it is damaged"),
        ((FOLDER / "galvote-base" / name).read_bytes(), "it is of another model"),
    ):
        (folder / name).write_bytes(data)
        with pytest.raises(ModelError, match=f"{name} cannot be used: {wrong}.*galvote export --model"):
            galvote.load(folder, backend)


def test_shards_have_galaxies_and_tasks_exist(tmp_path):
    for wrong in ({"shard_size": 0}, {"task": (3, 2)}, {"task": (0, 2)}):
        with pytest.raises(GalvoteError, match=r"not possible|There is no task"):
            galvote.predict_shards("x", tmp_path / "s", **wrong)


WRONG_TYPES = """
import io
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
for opened in (io.BytesIO(b"x"), [io.BytesIO(b"x")]):
    try:
        galvote.predict(opened)
    except GalvoteError as error:
        print(error)
for verb, wrong in (
    (galvote.cutouts, {"image_format": "tiff"}),
    (galvote.predict_table, {"layout": "x"}),
    (galvote.predict_shards, {"task": "1/2"}),
):
    try:
        verb("x.csv", "x.parquet", **wrong)
    except GalvoteError as error:
        print(error)
"""


def test_wrong_types_are_named():
    ran = subprocess.run([sys.executable, "-c", WRONG_TYPES], capture_output=True, text=True, check=True)
    assert len(ran.stdout.splitlines()) == 10
