"""Pictures of a field, and the kinds that they name."""

import io
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image

from galvote.errors import TreeError
from galvote.report.field_image import Mark, draw_field
from galvote.report.image_files import MAX_BYTES, write_png
from galvote.report.sheet import Bar, Card, draw_sheet
from galvote.trees import load_tree, to_cumulative
from galvote.trees.kinds import name_kind, strongest_first

GZ2 = load_tree("gz2")

CYAN, RED = "#00ffff", "#ff0000"


def fractions_of(**chosen: int) -> np.ndarray:
    """Cumulative fractions where 80 % give the chosen answer, counted from 0, of each question."""
    conditional = np.zeros((1, len(GZ2)))
    for question in GZ2.questions:
        columns = GZ2.slices[question.name]
        count = columns.stop - columns.start
        conditional[0, columns] = 0.2 / (count - 1)
        conditional[0, columns.start + chosen.get(question.name, count - 1)] = 0.8
    return np.asarray(to_cumulative(GZ2, conditional)[0])


def mark(number: int, x: float, y: float, colour: str = CYAN, label: str = "spiral 0.80") -> Mark:
    return Mark(number, label, float(x), float(y), radius=20.0, axis_ratio=0.5, angle=30.0, colour=colour)


def card(number: int, path: str = "smooth, completely round → nothing odd") -> Card:
    cutout = np.full((64, 64, 3), 200, np.uint8)
    bars = Bar("smooth", 0.8, 0.7, 0.9, voted=0.75), Bar("spiral", 0.1)
    return Card(number, "round 0.64", CYAN, cutout, path, bars, "crowded")


def has_colour(
    image: UInt8[np.ndarray, "y x 3"], rgb: tuple[int, int, int], tolerance: int = 40
) -> np.ndarray:
    return np.asarray((np.abs(image.astype(int) - rgb) <= tolerance).all(axis=2))


@pytest.mark.parametrize(
    ("chosen", "kind", "fraction"),
    [
        ({"smooth_or_features": 2}, "star", 0.8),
        ({"smooth_or_features": 0, "roundness": 0}, "round", 0.64),
        ({"smooth_or_features": 0, "roundness": 1}, "oval", 0.64),
        ({"smooth_or_features": 0, "roundness": 2}, "cigar", 0.64),
        ({"smooth_or_features": 1, "edge_on": 0}, "edge-on", 0.64),
        ({"smooth_or_features": 1, "edge_on": 1, "spiral": 0}, "spiral", 0.512),
        ({"smooth_or_features": 1, "edge_on": 1, "spiral": 1}, "disc", 0.64),
        ({"smooth_or_features": 1, "odd": 0, "odd_feature": 5}, "merger", 0.64),
        ({"smooth_or_features": 0, "odd": 0, "odd_feature": 0}, "ring", 0.64),
    ],
)
def test_a_kind_is_named_by_the_decision_path(chosen: dict[str, int], kind: str, fraction: float) -> None:
    finding = name_kind(GZ2, fractions_of(**{"odd": 1, **chosen}))
    assert finding.kind.name == kind
    assert finding.fraction == pytest.approx(fraction)
    assert finding.label == f"{kind} {fraction:.2f}"


def test_fractions_without_a_path_have_no_kind() -> None:
    with pytest.raises(TreeError, match="cumulative fractions"):
        name_kind(GZ2, np.zeros(37))


def test_the_clearest_of_each_kind_come_first() -> None:
    spiral = {"smooth_or_features": 1, "edge_on": 1, "spiral": 0}
    rows = [fractions_of(odd=1, **spiral), fractions_of(odd=1, smooth_or_features=0, roundness=0)]
    clear, clearer = (name_kind(GZ2, row) for row in rows)
    assert strongest_first([clear, clearer, clear, clearer]) == (1, 0, 3, 2)
    assert strongest_first([]) == ()


def test_a_field_shows_its_picture_with_outlines_where_the_galaxies_are() -> None:
    field = np.full((300, 400, 3), 60, np.uint8)
    drawn = draw_field(
        field, [mark(1, 100, 100), mark(2, 300, 200, RED)], title="Field", legend=[("1 spiral", CYAN)]
    )
    scale = 3
    assert drawn.shape == (300 * scale + 56, 400 * scale, 3)
    assert (drawn[5, 5] == 60).all()
    rows, columns = np.nonzero(has_colour(drawn[: 300 * scale], (255, 0, 0)))
    # Within the outline of radius 20 and the label beside it
    assert rows.min() > (200 - 21) * scale
    assert rows.max() < (200 + 21) * scale
    assert columns.min() > (300 - 21) * scale
    # The end of the major axis, 30 degrees from x towards y
    x, y = round((300.5 + 20 * np.cos(np.pi / 6)) * scale), round((200.5 + 20 * np.sin(np.pi / 6)) * scale)
    assert has_colour(drawn[y - 3 : y + 4, x - 3 : x + 4], (255, 0, 0), 90).any()


def test_a_large_field_is_shrunk() -> None:
    field = np.zeros((1500, 3000, 3), np.uint8)
    field[1000:1040, 2000:2040] = 255
    drawn = draw_field(field, [])
    assert drawn.shape[1] == 2000
    assert drawn[680, 1346].min() > 200
    assert drawn[680, 1280].max() == 0


def test_labels_give_way_to_one_another() -> None:
    field = np.zeros((200, 600, 3), np.uint8)
    alone = draw_field(field, [mark(1, 300, 100)])
    crowd = draw_field(field, [mark(number, 300, 100) for number in range(1, 60)])
    drawn = has_colour(crowd, (0, 255, 255), 100).sum() / has_colour(alone, (0, 255, 255), 100).sum()
    assert drawn < 20


def test_a_field_without_galaxies_is_drawn() -> None:
    assert draw_field(np.zeros((50, 80, 3), np.uint8), [], title="empty").shape[2] == 3


def test_a_sheet_shows_each_cutout() -> None:
    sheet = draw_sheet([card(number) for number in range(1, 10)], title="nine")
    bright = has_colour(sheet, (200, 200, 200), 3)
    assert bright.sum() == pytest.approx(9 * 160 * 160, rel=0.06)
    assert draw_sheet([card(1)], title="one").shape[0] < sheet.shape[0]


def test_a_long_path_stays_on_its_card() -> None:
    short, long = (
        draw_sheet([card(1, path)], title="") for path in ("smooth", "featured → not edge-on → " * 20)
    )
    assert short.shape == long.shape
    assert (short[-12:] == long[-12:]).all()


@pytest.mark.parametrize("count", [0, 41])
def test_a_sheet_holds_one_to_forty(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 40"):
        draw_sheet([card(number) for number in range(count)], title="")


def test_a_png_weighs_no_more_than_it_may(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    write_png(noise[:300, :300], tmp_path / "exact.png")
    write_png(noise, tmp_path / "sub" / "light.png")
    exact = np.asarray(Image.open(io.BytesIO((tmp_path / "exact.png").read_bytes())).convert("RGB"))
    assert (exact == noise[:300, :300]).all()
    light = (tmp_path / "sub" / "light.png").read_bytes()
    assert len(light) <= MAX_BYTES < noise.nbytes
    shown = np.asarray(Image.open(io.BytesIO(light)).convert("RGB")).astype(int)
    assert np.abs(shown - noise).max() < 16
    assert [path.name for path in tmp_path.rglob("*.partial")] == []
