"""`galvote field` and `galvote demo`."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from galvote.cli.demo import print_examples
from galvote.inference import Predictor
from galvote.io import read_table


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of two galaxies."""
    rows, columns = np.mgrid[:160, :240]
    light = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 50) for x, y in ((60, 70), (170, 90)))
    sky = np.random.default_rng(3).normal(20, 4, (160, 240, 3))
    path = tmp_path_factory.mktemp("field") / "field.png"
    Image.fromarray((sky + 190 * light[:, :, None]).clip(0, 255).astype(np.uint8)).save(path)
    return path


def test_the_command_writes_what_predict_writes(
    command: Callable[..., Any], image: Path, calibrated: Path, tmp_path: Path
) -> None:
    given = (image, "--model", calibrated, "--backend", "torch-float32", "--out", tmp_path)
    ran = command("field", *given, "--level", 0.8, "--format", "parquet")
    assert ran.returncode == 0, ran.stderr
    assert "2 galaxies found and classified" in ran.stdout
    assert re.search(r"\d of the 2 galaxies are unlike the training galaxies", ran.stdout)
    assert "The clearest of each kind" in ran.stdout and str(tmp_path / "annotated.png") in ran.stdout
    schema = read_table(tmp_path / "catalogue.parquet").schema
    predicted = Predictor.load(calibrated).schema()
    assert schema.names[12:] == predicted.names[3:]
    ran = command("field", *given, "--format", "parquet")
    assert ran.returncode == 2 and "catalogue.parquet, " in ran.stderr and "--overwrite" in ran.stderr
    ran = command("field", *given, "--level", 1.2, "--overwrite")
    assert ran.returncode == 2 and "between 0 and 1" in ran.stderr


def test_where_nothing_is_found_the_command_says_what_to_try(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    Image.new("RGB", (90, 90), (20, 20, 20)).save(tmp_path / "sky.png")
    ran = command("field", tmp_path / "sky.png", "--out", tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Nothing stands out" in ran.stdout


def test_the_demo_shows_what_volunteers_said_beside_what_is_predicted(
    calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galvote.field import examples

    three = dict(list(examples.example_kinds().items())[:3])
    monkeypatch.setattr(examples, "example_kinds", lambda: three)
    shown = examples.predict_examples(Predictor.load(calibrated, "torch-float32"))
    console = Console(record=True, width=100, file=StringIO())
    print_examples(shown, console)
    said = console.export_text()
    assert "3 galaxies of the Sloan Digital Sky Survey" in said and "within the 90% intervals" in said
    examples.write_examples(shown, tmp_path, more="next/index.html")
    page = (tmp_path / "index.html").read_text()
    assert page.count("<dt>volunteers</dt><dd>spiral 0.") == 3 and 'href="next/index.html"' in page
    assert page.count("% voted so") == 3 * len(shown.prediction.tree)
    assert (tmp_path / "examples.png").exists()


@pytest.mark.parametrize("verb", ["field", "demo"])
def test_the_commands_describe_themselves(verb: str) -> None:
    from galvote.cli import app

    answer = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "160", "TERM": "dumb"})
    assert answer.exit_code == 0
    options = ["out", "model", "backend", "min-radius", "limit", "tta", "level", "format", "overwrite"]
    assert [option for option in options if f"--{option}" not in answer.output] == []
