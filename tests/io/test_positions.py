"""Catalogues of positions, and predictions beside the catalogue that they are of."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from galvote.errors import CatalogueError
from galvote.io import read_table, write_table
from galvote.io.columns import about, describe
from galvote.io.positions import read_positions
from galvote.labels.matching import join_by_id, refuse_clashes


class Chart:
    """An image service whose images say where and how large they are."""

    name = "chart"

    def images(self, ra: np.ndarray, dec: np.ndarray, r90: np.ndarray) -> list:
        return [Spot(place) for place in zip(ra.tolist(), dec.tolist(), r90.tolist(), strict=True)]


class Spot:
    def __init__(self, place: tuple[float, float, float]) -> None:
        self.place = place

    def __call__(self) -> tuple[bytes, ...]:
        return (repr(self.place).encode(),)


def written(path: Path, **columns: object) -> Path:
    write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_positions_in_every_format(tmp_path: Path, ending: str) -> None:
    path = written(
        tmp_path / f"sky{ending}",
        objid=["1237648720693755918", "7", "8"],
        RA=pa.array([150.5, None, 10.0]),
        Dec=[2.0, 3.0, -91.0],
        petroR90_r=pa.array([5.5, -9999.0, None]),
        note=["x", "y", "z"],
    )
    positions = read_positions(path)
    assert positions.ids == ("1237648720693755918", "7", "8")
    np.testing.assert_array_equal(positions.ra, [150.5, np.nan, 10.0])
    np.testing.assert_array_equal(positions.dec, [2.0, 3.0, -91.0])
    np.testing.assert_array_equal(positions.r90, [5.5, -9999.0, np.nan])
    assert positions.table.column_names == ["objid", "RA", "Dec", "petroR90_r", "note"]


def test_sizes_by_name_and_in_other_units(tmp_path: Path) -> None:
    path = written(tmp_path / "sky.csv", raj2000=[1], dej2000=[2], radius=[3], r90=[4])
    assert read_positions(path).r90.tolist() == [4.0]
    assert read_positions(path, size_column="Radius").r90.tolist() == [3.0]
    assert read_positions(path).ids == ("0",)
    fields = [describe(pa.field(name, pa.float64()), "", "deg") for name in ("ra", "dec")]
    table = pa.table(
        [[1.0], [2.0], [0.5]],
        schema=pa.schema([*fields, describe(pa.field("r90", pa.float64()), "", "arcmin")]),
    )
    write_table(table, tmp_path / "sky.fits")
    assert read_positions(tmp_path / "sky.fits").r90.tolist() == [30.0]
    # As VizieR and others have it: positions as text and, in degrees, with an underscore.
    columns = {"RAJ2000": ["10 00 00.5"], "DEJ2000": ["+02 00"], "_RAJ2000": [150.0], "_DEJ2000": [2.0]}
    table = pa.table(columns)
    degrees = [describe(field, "", "Degrees") for field in table.schema.remove(0).remove(0)]
    write_table(table.cast(pa.schema([*list(table.schema)[:2], *degrees])), tmp_path / "vizier.fits")
    positions = read_positions(tmp_path / "vizier.fits")
    assert (positions.ra.tolist(), positions.dec.tolist()) == ([150.0], [2.0])
    assert np.isnan(positions.r90).all()


def test_catalogues_that_say_too_little_are_refused(tmp_path: Path) -> None:
    for number, (columns, reason) in enumerate(
        (
            (
                {"id": ["a"], "x": [1.0]},
                r"no column of right ascensions: it has id, x; ra, .*Rename its column to `ra`",
            ),
            ({"ra": [1.0], "x": [1.0]}, "no column of declinations"),
            ({"ra": ["10:00:00", "24:00:01"], "dec": [1.0, 1]}, "row 2 of .*`ra` is '24:00:01', .*in hours"),
            ({"ra": [1.0, 2], "dec": ["1.5", "1,5"]}, "row 2 of the column `dec` is no number: '1,5'"),
            ({"id": ["a", "a"], "ra": [1.0, 2.0], "dec": [1.0, 2.0]}, "1 id more than once: a"),
            ({"ra": [1.0], "dec": [1.0]}, "no column of sizes"),
        )
    ):
        path = written(tmp_path / f"{number}.csv", **columns)
        with pytest.raises(CatalogueError, match=reason):
            read_positions(path, size_column="r" if number == 5 else None)
    hours = pa.schema([describe(pa.field("ra", pa.float64()), "", "h"), pa.field("dec", pa.float64())])
    write_table(pa.table([[1.0], [2.0]], schema=hours), tmp_path / "hours.fits")
    with pytest.raises(CatalogueError, match="`ra` is in h; convert it to deg"):
        read_positions(tmp_path / "hours.fits")
    pixels = pa.schema([("ra", pa.float64()), ("dec", pa.float64())]).append(
        describe(pa.field("r90", pa.float64()), "", "pix")
    )
    write_table(pa.table([[1.0], [2.0], [3.0]], schema=pixels), tmp_path / "pixels.vot")
    with pytest.raises(CatalogueError, match="`r90` is in pix; convert it to arcsec"):
        read_positions(tmp_path / "pixels.vot")


def test_sources_are_looked_up_at_an_image_service(tmp_path: Path) -> None:
    count = 3000
    path = written(
        tmp_path / "sky.parquet",
        id=[f"g{i}" for i in range(count)],
        ra=np.arange(count) / 10,
        dec=np.zeros(count),
    )
    positions = read_positions(path)
    sources = positions.with_r90(np.full(count, 2.5)).sources(Chart())
    assert len(sources) == count
    assert sources.ids == positions.ids
    read = [source.read() for source in sources]
    assert read[2999] == (b"(299.9, 0.0, 2.5)",)
    part = sources[2990:2995]
    assert [source.id for source in part] == [f"g{i}" for i in range(2990, 2995)]
    assert [source.read() for source in pickle.loads(pickle.dumps(part))] == read[2990:2995]
    assert next(iter(part)).origin == "chart at 299.0 0.0, r90 2.5"
    assert sources.digest() == positions.with_r90(np.full(count, 2.5)).sources(Chart()).digest()
    assert sources.digest() != positions.with_r90(np.full(count, 2.6)).sources(Chart()).digest()
    empty = read_positions(
        written(tmp_path / "none.csv", ra=pa.array([], pa.float64()), dec=pa.array([], pa.float64()))
    )
    assert len(empty.sources(Chart())) == 0


PREDICTIONS = pa.table(
    {"id": ["c", "a", "x"], "status": ["ok"] * 3, "reason": [""] * 3, "Class1.1": [0.3, 0.1, 0.9]},
    schema=pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("status", pa.string()),
            pa.field("reason", pa.string()),
            describe(pa.field("Class1.1", pa.float64()), "smooth", ""),
        ]
    ),
)


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".vot"])
def test_predictions_are_put_beside_the_catalogue(tmp_path: Path, ending: str) -> None:
    ra = describe(pa.field("ra", pa.float64()), "Right ascension", "deg", "pos.eq.ra")
    catalogue = pa.table(
        [pa.array(["a", "b", "c"]), pa.array([1.0, 2.0, 3.0]), pa.array([7, 8, 9])],
        schema=pa.schema([pa.field("objid", pa.string()), ra, pa.field("n", pa.int64())]),
    )
    write_table(catalogue, tmp_path / f"catalogue{ending}")
    joined = join_by_id(read_table(tmp_path / f"catalogue{ending}"), ["a", "b", "c"], PREDICTIONS)
    write_table(joined, tmp_path / f"joined{ending}")
    back = read_table(tmp_path / f"joined{ending}")
    assert back.column_names == ["objid", "ra", "n", "status", "reason", "Class1.1"]
    assert back["objid"].to_pylist() == ["a", "b", "c"]
    assert back["n"].to_pylist() == [7, 8, 9]
    assert back["Class1.1"].to_pylist() == [0.1, None, 0.3]
    assert back["status"].to_pylist() == ["ok", "missing", "ok"]
    assert back["reason"].to_pylist()[1] == "No image has this id."
    assert about(back.schema.field("ra")) == about(ra)
    assert about(back.schema.field("Class1.1")) == {"description": "smooth", "unit": ""}


def test_ids_of_predictions_stay_where_the_catalogue_has_none() -> None:
    joined = join_by_id(pa.table({"ra": [1.0, 2.0]}), ["c", "b"], PREDICTIONS)
    assert joined.column_names == ["ra", "id", "status", "reason", "Class1.1"]
    assert joined["id"].to_pylist() == ["c", "b"]
    sky = pa.table({"ra": [1.0, 2.0, None], "dec": [0.0, 0.0, 0.0]})
    unknown = join_by_id(sky, ["c", "", ""], PREDICTIONS)
    assert unknown["id"].to_pylist() == ["c", None, None]
    assert unknown["reason"].to_pylist() == [
        "",
        "No image is at this position alone.",
        "The catalogue has no position of it.",
    ]
    own = join_by_id(pa.table({"ID": [1]}), ["a"], PREDICTIONS)
    assert own.column_names == ["ID", "status", "reason", "Class1.1"]


def test_columns_of_the_same_name_are_refused_in_any_case() -> None:
    with pytest.raises(
        CatalogueError, match=r"columns STATUS, class1.1, which predictions have, too; rename them"
    ):
        refuse_clashes(["id", "STATUS", "class1.1", "ra"], PREDICTIONS.column_names)
    refuse_clashes(["ID", "ra"], PREDICTIONS.column_names)
