"""A field from picture to catalogue, with a predictor that knows no galaxies."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from galvote.calibration import Calibration, Intervals, OodDetector
from galvote.errors import GalvoteError
from galvote.field.classify import classify_field
from galvote.field.files import FieldFiles
from galvote.field.findings import ClassifiedField, print_findings
from galvote.images import Geometry
from galvote.inference import Prediction, Predictor, make_prediction
from galvote.io import read_table
from galvote.io.columns import about
from galvote.labels import read_votes
from galvote.trees import find_violations, load_tree, to_cumulative

GZ2 = load_tree("gz2")


class Stand:
    """Predicts smooth for what is red and a spiral for what is blue, and remembers what it saw.

    Calibrated, it calls unlike what is blue.
    """

    tree = GZ2
    geometry = Geometry(field_of_view=5.12, pixels=64)

    def __init__(self, calibration: Calibration | None = None) -> None:
        self.calibration = calibration
        self.seen = list[np.ndarray]()

    def predict_cutouts(
        self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], *, tta: int = 1, level: float | None = None
    ) -> Prediction:
        self.seen += list(cutouts)
        conditional = np.zeros((len(cutouts), len(GZ2)))
        for columns in GZ2.slices.values():
            conditional[:, columns] = 1 / (columns.stop - columns.start)
        centre = cutouts[:, 28:36, 28:36].mean(axis=(1, 2))
        red = centre[:, 0] > centre[:, 2]
        conditional[:, :3] = np.where(red[:, None], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1])
        conditional[:, 3:5] = 0.1, 0.9
        conditional[:, 7:9] = 0.9, 0.1
        conditional[:, 13:15] = 0.2, 0.8
        fractions = to_cumulative(GZ2, conditional).astype(np.float32)
        return make_prediction(
            GZ2, self.calibration, cutouts, fractions, centre.astype(np.float32), level=level
        )


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    random = np.random.default_rng(5)
    predicted = random.uniform(size=(200, len(GZ2)))
    actual = (predicted + random.normal(0, 0.1, predicted.shape)).clip(0, 1)
    red = random.normal([200, 140, 100], 20, (200, 3))
    return Calibration(Intervals.fit(predicted, actual), OodDetector.fit(red, red, axes=2))


PLACES = ((60, 70, 9.0, "blue"), (200, 90, 7.0, "red"), (320, 200, 12.0, "red"), (120, 230, 8.0, "blue"))


@pytest.fixture(scope="module")
def field() -> UInt8[np.ndarray, "y x 3"]:
    rows, columns = np.mgrid[:300, :400]
    rgb = np.random.default_rng(3).normal(20, 4, (300, 400, 3))
    for x, y, r90, colour in PLACES:
        light = 190 * np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / (r90 / 2.146) ** 2) / 4)
        rgb += light[:, :, None] * ([0.5, 0.7, 1.0] if colour == "blue" else [1.0, 0.7, 0.5])
    return rgb.clip(0, 255).astype(np.uint8)


def classify(
    rgb: UInt8[np.ndarray, "y x 3"],
    out: Path,
    predictor: Stand | None = None,
    *,
    catalogue_ending: str = ".csv",
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    **options: Any,
) -> tuple[ClassifiedField, tuple[Path, ...]]:
    """Classify a field and write its files, as the command does."""
    classified = classify_field(rgb, predictor or Stand(), on_progress=on_progress, **options)
    return classified, FieldFiles(out, catalogue_ending).write(rgb, classified, on_progress)


def test_a_field_becomes_a_catalogue_and_pictures(field: np.ndarray, tmp_path: Path) -> None:
    predictor = Stand()
    stages = list[tuple[str, int, int]]()
    _, files = classify(
        field, tmp_path / "out", predictor, title="Test", on_progress=lambda *stage: stages.append(stage)
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "annotated.png",
        "catalogue.csv",
        "galaxies.png",
        "index.html",
    ]
    assert set(files) == set((tmp_path / "out").iterdir())
    assert {stage for stage, _, _ in stages} == {"finding galaxies", "predicting", "drawing"}
    assert [cutout.shape for cutout in predictor.seen] == [(64, 64, 3)] * 4

    table = read_table(tmp_path / "out" / "catalogue.csv")
    assert table.column_names[:5] == ["id", "x", "y", "r90", "axis_ratio"]
    assert table.column_names[-37:] == list(GZ2.columns)
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    for x, y, r90, colour in PLACES:
        row = min(rows, key=lambda row: np.hypot(row["x"] - x, row["y"] - y))
        assert (row["x"], row["y"]) == pytest.approx((x, y), abs=1)
        assert row["r90"] == pytest.approx(r90, rel=0.15)
        assert row["kind"] == ("spiral" if colour == "blue" else "round")
        assert row["path"].startswith("featured → not edge-on" if colour == "blue" else "smooth")
    assert [row["magnitude"] for row in rows] == sorted(row["magnitude"] for row in rows)


def test_a_page_shows_the_clearest_with_their_votes_down_the_tree(field: np.ndarray, tmp_path: Path) -> None:
    classified, _ = classify(field, tmp_path, title="<Test> & field", catalogue_ending=".vot")
    html = (tmp_path / "index.html").read_text()
    assert "&lt;Test&gt; &amp; field" in html and "<Test>" not in html
    assert html.count('aria-label="Votes down the decision tree. Most likely: ') == 4
    assert all(f"Most likely: {path}" in html for path in classified.paths)
    images = re.findall(r'<img[^>]* src="([^"]+)"', html)
    assert images[0] == "annotated.png"
    assert all(address.startswith("data:image/jpeg;base64,/9j/") for address in images[1:])
    assert 'href="catalogue.vot"' in html


def test_a_calibrated_model_gives_intervals_and_the_flag(
    field: np.ndarray, tmp_path: Path, calibration: Calibration
) -> None:
    widths = []
    for level in (0.5, 0.9):
        out = tmp_path / str(level)
        classified, files = classify(field, out, Stand(calibration), level=level)
        table = read_table(out / "catalogue.csv")
        ends = [f"{column}_{end}" for column in GZ2.columns for end in ("low", "high")]
        start = table.column_names.index("path") + 1
        assert table.column_names[start:] == ["ood", "ood_score", *GZ2.columns, *ends]
        rows = table.to_pylist()
        assert [row["ood"] for row in rows] == [row["kind"] == "spiral" for row in rows]
        for row in rows:
            for column in GZ2.columns:
                assert 0 <= row[f"{column}_low"] <= row[column] <= row[f"{column}_high"] <= 1
        widths.append(sum(row["Class4.1_high"] - row["Class4.1_low"] for row in rows))
    assert widths[0] < widths[1]
    page = (out / "index.html").read_text()
    assert page.count('<dd class="differs">unlike the training galaxies') == 2
    assert "2 of the 4 galaxies are unlike the training galaxies" in page
    assert 'class="interval"' in page
    console = Console(record=True, width=120)
    print_findings(classified, files, console)
    assert "2 of the 4 galaxies are unlike the training galaxies" in console.export_text()


def test_the_command_writes_what_predict_writes(
    command: Callable[..., Any], field: np.ndarray, calibrated: Path, tmp_path: Path
) -> None:
    Image.fromarray(field).save(tmp_path / "field.png")
    given = (tmp_path / "field.png", "--model", calibrated, "--backend", "torch-float32")
    ran = command("field", *given, "--out", tmp_path, "--level", 0.8, "--format", "parquet")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"\d of the 4 galaxies are unlike the training galaxies", ran.stdout)
    told = read_table(tmp_path / "catalogue.parquet").schema
    wanted = [each for each in Predictor.load(calibrated).schema() if each.name not in ("status", "reason")]
    assert [told.field(each.name) for each in wanted] == wanted
    assert [name for name in told.names if name in {each.name for each in wanted}] == [
        each.name for each in wanted
    ]
    ran = command("field", *given, "--out", tmp_path, "--format", "parquet")
    assert ran.returncode == 2 and "catalogue.parquet, index.html, annotated.png" in ran.stderr
    ran = command("field", *given, "--out", tmp_path, "--level", 1.2, "--overwrite")
    assert ran.returncode == 2 and "between 0 and 1" in ran.stderr


@pytest.mark.parametrize("ending", [".parquet", ".fits"])
def test_the_catalogue_can_be_read_as_votes(field: np.ndarray, tmp_path: Path, ending: str) -> None:
    classify(field, tmp_path, catalogue_ending=ending, limit=3)
    votes = read_votes([tmp_path / f"catalogue{ending}"])
    assert votes.ids == ("1", "2", "3")
    table = read_table(tmp_path / f"catalogue{ending}")
    undescribed = [
        name for name in table.column_names if "description" not in about(table.schema.field(name))
    ]
    assert undescribed == []
    radius = about(table.schema.field("r90"))
    assert (radius["unit"], radius["ucd"]) == ("pixel", "phys.angSize")
    assert not find_violations(GZ2, votes.fractions).galaxies.any()


def test_results_are_replaced_only_when_asked(field: np.ndarray, tmp_path: Path) -> None:
    FieldFiles(tmp_path, ".csv").refuse_taken()
    classify(field, tmp_path)
    (tmp_path / "galaxies-2.png").write_bytes(b"of an earlier run")
    with pytest.raises(GalvoteError, match=r"annotated\.png.*--overwrite"):
        FieldFiles(tmp_path, ".csv").refuse_taken()
    classify(field, tmp_path, limit=1)
    assert not (tmp_path / "galaxies-2.png").exists()
    assert len(read_table(tmp_path / "catalogue.csv")) == 1


def test_a_field_without_galaxies_gives_an_empty_catalogue(tmp_path: Path) -> None:
    sky = np.random.default_rng(0).normal(20, 4, (200, 200, 3)).clip(0, 255).astype(np.uint8)
    classified, files = classify(sky, tmp_path)
    table = read_table(tmp_path / "catalogue.csv")
    assert len(table) == 0
    assert set(GZ2.columns) < set(table.column_names)
    assert (tmp_path / "annotated.png").exists()
    assert "0 galaxies" in (tmp_path / "index.html").read_text()
    assert not (tmp_path / "galaxies.png").exists()
    console = Console(record=True, width=100)
    print_findings(classified, files, console)
    assert "Nothing stands out" in console.export_text()


def test_more_galaxies_than_a_sheet_holds_take_several(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:360, :420]
    pattern = np.exp(-(((columns % 60 - 30) ** 2 + (rows % 60 - 30) ** 2) / 4.0**2) / 4)
    rgb = np.repeat((20 + 190 * pattern).astype(np.uint8)[:, :, None], 3, axis=2)
    classified, _ = classify(rgb, tmp_path)
    assert len(classified.galaxies) == 42
    assert (tmp_path / "galaxies-2.png").exists()
    assert not (tmp_path / "galaxies-3.png").exists()
    with Image.open(tmp_path / "annotated.png") as annotated:
        assert annotated.size == (3 * 420, 3 * 360 + 56)


def test_what_is_printed_names_the_clearest_of_each_kind(field: np.ndarray, tmp_path: Path) -> None:
    console = Console(record=True, width=120)
    print_findings(*classify(field, tmp_path), console)
    said = console.export_text()
    assert "4 galaxies found and classified" in said
    assert "spiral" in said
    assert "65%" in said  # 0.8 featured × 0.9 not edge-on × 0.9 spiral
    assert "annotated.png" in said


@pytest.mark.parametrize("verb", ["field", "demo"])
def test_the_commands_describe_themselves(verb: str) -> None:
    from galvote.cli import app

    answer = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "160", "TERM": "dumb"})
    assert answer.exit_code == 0
    options = ["out", "model", "backend", "min-radius", "limit", "tta", "level", "format", "overwrite"]
    assert [option for option in options if f"--{option}" not in answer.output] == []
