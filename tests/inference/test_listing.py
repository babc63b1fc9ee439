"""What may be given to a model from Python."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import Table
from PIL import Image

import galvote
from galvote.errors import CatalogueError
from galvote.images import Geometry, try_cutout
from galvote.inference.listing import list_images

GEOMETRY = Geometry(pixels=32)


def shown(images: object, **said: float) -> dict[str, np.ndarray]:
    return {
        source.id: try_cutout(source.read, GEOMETRY, source.field_of_view)
        for source in list_images(images, **said)
    }


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_one_picture_in_any_form_is_the_same(tmp_path: Path, picture: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    data = buffer.getvalue()
    (tmp_path / "a.png").write_bytes(data)
    forms = [picture, torch.tensor(picture), Image.fromarray(picture), data, str(tmp_path / "a.png")]
    expected = try_cutout(lambda: picture, GEOMETRY)
    for form in (*forms, tmp_path / "a.png"):
        for given in (form, [form]):
            ((_, cutout),) = shown(given).items()
            assert np.array_equal(cutout, expected)
    mixed = shown(forms)
    assert list(mixed) == ["0", "1", "2", "3", "a"]
    assert all(np.array_equal(cutout, expected) for cutout in mixed.values())
    assert list(shown(torch.tensor(picture)[None].repeat(3, 1, 1, 1))) == ["0", "1", "2"]


def test_a_column_of_paths_is_a_list_of_them(tmp_path: Path, picture: np.ndarray) -> None:
    paths = [str(tmp_path / f"{name}.png") for name in "ba"]
    for path in paths:
        Image.fromarray(picture).save(path)
    table = Table({"path": paths, "coded": [path.encode() for path in paths]})
    frame = pd.Series([Path(path) for path in paths])
    for given in (np.array(paths), pd.Series(paths), frame, table["path"], table["coded"]):
        assert list(shown(given)) == ["b", "a"]
    assert np.array_equal(shown(bytearray((tmp_path / "a.png").read_bytes()))["0"], shown(picture)["0"])


def test_what_is_no_picture_is_named(picture: np.ndarray) -> None:
    with pytest.raises(CatalogueError, match="There is no file or folder nowhere"):
        shown([picture, "nowhere"])
    failed = shown([picture.transpose(2, 0, 1), picture / 255])
    assert [error.status for error in failed.values()] == ["unsupported"] * 2
    assert "np.moveaxis" in failed["0"].reason and "np.uint8(255 * array)" in failed["1"].reason


def test_no_number_of_pixels_says_how_wide_an_array_is(picture: np.ndarray) -> None:
    assert list_images([picture.repeat(2, axis=0).repeat(2, axis=1)])[0].field_of_view is None


def test_places_are_listed_as_they_are_for_the_command_line(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a", "b/c"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "deep" / name / "x.png")
    (tmp_path / "list.csv").write_text("id,name,source\n1,first,deep/a/x.png\n")
    np.savez(tmp_path / "two.npz", images=picture[None], others=picture[None].repeat(2, axis=0))
    said = list[str]()
    how = {"scale": "gz2", "report": said.append}
    assert galvote.predict(tmp_path / "deep", recursive=True, **how).ids == ("a/x", "b/c/x")
    assert galvote.predict(tmp_path / "list.csv", id_column="name", **how).ids == ("first",)
    assert len(galvote.predict(tmp_path / "two.npz", dataset="others", **how)) == 2
    asked = galvote.predict(tmp_path / "deep", recursive=True, conditional=True, scale="gz2")
    assert {"smooth", "bar_low"} <= set(asked.to_table().colnames)
    assert "bar" not in asked.to_arrow(conditional=False).column_names
    assert len(said) == 3 and said[0].startswith("2 galaxies")
