"""What is known of a column stays with it, through every format that can say it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits, votable
from astropy.io.votable.ucd import check_ucd
from astropy.table import MaskedColumn, QTable, Table
from astropy.units import arcmin
from astropy.utils.masked import Masked

from galvote.errors import CatalogueError, ImageError
from galvote.inference.columns import prediction_schema
from galvote.io import list_sources, read_table, write_table
from galvote.io.columns import about, describe
from galvote.io.positions import read_positions
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

TABLE = pa.table(
    [pa.array(["a", "b"]), pa.array([150.1, None]), pa.array([3.5, 4.5]), pa.array([1, 2])],
    schema=pa.schema(
        [
            describe(pa.field("id", pa.string()), "Name of the galaxy", ucd="meta.id;meta.main"),
            describe(pa.field("ra", pa.float64()), "Right ascension, ICRS", "deg", "pos.eq.ra;meta.main"),
            describe(pa.field("flux", pa.float64()), "Of the whole galaxy " * 5, "mJy"),
            pa.field("n", pa.int64()),
        ]
    ),
)


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".vot"])
def test_descriptions_units_and_ucds_come_back(tmp_path: Path, ending: str) -> None:
    write_table(TABLE, tmp_path / f"t{ending}")
    back = read_table(tmp_path / f"t{ending}")
    assert back.column_names == TABLE.column_names
    assert back["ra"].to_pylist() == [150.1, None]
    for field in TABLE.schema:
        expected = {key: text.strip() for key, text in about(field).items()}
        found = {key: text.strip() for key, text in about(back.schema.field(field.name)).items()}
        assert found == expected, field.name
    # And a second time, into each of the others.
    for other in (".parquet", ".fits", ".vot"):
        write_table(back, tmp_path / f"again{other}", overwrite=True)
        again = read_table(tmp_path / f"again{other}")
        assert about(again.schema.field("ra")) == about(TABLE.schema.field("ra"))


def test_fits_and_votable_say_it_as_others_do(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "t.fits")
    header = fits.getheader(tmp_path / "t.fits", 1)
    assert (header["TTYPE2"], header["TUNIT2"], header["TUCD2"]) == ("ra", "deg", "pos.eq.ra;meta.main")
    assert header["TCOMM2"] == "Right ascension, ICRS"
    assert header["TUNIT3"] == "mJy"
    assert "TUNIT4" not in header
    write_table(TABLE, tmp_path / "t.vot")
    field = votable.parse_single_table(tmp_path / "t.vot").fields[1]
    assert (field.name, str(field.unit), field.ucd) == ("ra", "deg", "pos.eq.ra;meta.main")
    assert field.description.strip() == "Right ascension, ICRS"


@pytest.mark.parametrize("ending", [".fits", ".vot", ".parquet"])
def test_astropy_reads_what_the_columns_mean(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pandas")
    features = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))
    field = describe(pa.field("features", features.type), "Größe — for search")
    write_table(TABLE.append_column(field, features), tmp_path / f"t{ending}")
    table = Table.read(tmp_path / f"t{ending}")
    assert table["ra"].unit == "deg"
    assert table["ra"].description == "Right ascension, ICRS"
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["flux"].unit == "mJy"
    assert " ".join(table["flux"].description.split()) == ("Of the whole galaxy " * 5).strip()
    assert table["n"].unit is None
    assert table["features"].description == "Größe — for search"
    assert table["features"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert [str(name) for name in table["id"]] == ["a", "b"]
    assert np.isfinite(np.ma.filled(table["ra"], np.nan)).tolist() == [True, False]


def test_what_astropy_and_others_wrote_is_understood(tmp_path: Path) -> None:
    table = Table({"ra": [1.5], "mag": [18.0]})
    table["ra"].unit, table["ra"].description = "deg", "Right ascension"
    table["mag"].unit = "mag"
    for name in ("a.fits", "a.vot"):
        table.write(tmp_path / name, format="votable" if name.endswith("vot") else "fits")
        back = read_table(tmp_path / name)
        assert about(back.schema.field("ra")) == {"description": "Right ascension", "unit": "deg"}
        assert about(back.schema.field("mag")) == {"unit": "mag"}
    # A unit that nobody knows, and the second table of a file: only the first is read.
    tables = [
        fits.BinTableHDU.from_columns([fits.Column(name, "D", unit="photons/fortnight", array=[1.0])])
        for name in ("flux", "other")
    ]
    units = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2))), *tables]
    fits.HDUList(units).writeto(tmp_path / "odd.fits")
    odd = read_table(tmp_path / "odd.fits")
    assert odd.column_names == ["flux"]
    assert about(odd.schema.field("flux")) == {"unit": "photons/fortnight"}


@pytest.mark.parametrize("ending", [".parquet", ".ecsv", ".fits", ".vot"])
def test_masks_and_units_of_astropy_are_honoured(tmp_path: Path, ending: str) -> None:
    table = Table({"id": [1, 2, 3], "ra": [0.5, 1.0, 1.5], "dec": [0.0, 0.1, 0.2]})
    table["ra"].unit = table["dec"].unit = "rad"
    table["r90"] = MaskedColumn([1.0, 99.0, 3.0], mask=[False, True, False], unit="arcmin")
    table["name"] = MaskedColumn(["a", "b", "c"], mask=[True, False, False])
    table.write(tmp_path / f"t{ending}", format="votable" if ending == ".vot" else None)
    back = read_table(tmp_path / f"t{ending}")
    assert back.column_names == ["id", "ra", "dec", "r90", "name"]
    assert back["r90"].to_pylist() == [1.0, None, 3.0]
    assert back["name"].to_pylist() == [None, "b", "c"]
    there = read_positions(tmp_path / f"t{ending}")
    assert there.r90.tolist() == pytest.approx([60, np.nan, 180], nan_ok=True)
    assert there.ra.tolist() == pytest.approx(np.rad2deg([0.5, 1.0, 1.5]))


def test_parquet_of_astropy_with_columns_in_parts(tmp_path: Path) -> None:
    table = QTable({"id": ["a", "b"], "c": SkyCoord([1, 2], [3, 4], unit="deg")})
    table["r90"] = Masked([1.0, 2.0], mask=[True, False]) * arcmin
    table["v"] = MaskedColumn([[1, 2], [3, 4]], mask=[[True, False], [False, False]])
    table["source"] = MaskedColumn(["a.png", "b.png"], mask=[False, True])
    table.write(tmp_path / "t.parquet")
    back = read_table(tmp_path / "t.parquet")
    assert back.column_names == ["id", "c.ra", "c.dec", "r90", "v", "source"]
    assert back["r90"].to_pylist() == [None, 2.0] and about(back.schema.field("r90")) == {"unit": "arcmin"}
    assert back["v"].to_pylist() == [[None, 2], [3, 4]]
    write_table(back, tmp_path / "again.parquet")
    assert read_table(tmp_path / "again.parquet").equals(back)
    with pytest.raises(ImageError, match="names no image"):
        list(list_sources(tmp_path / "t.parquet"))[1].read()
    table["c"] = SkyCoord([1, 2], [3, 4], unit="deg", frame="fk4")
    table.write(tmp_path / "t.parquet", overwrite=True)
    with pytest.raises(CatalogueError, match="c are not ICRS"):
        read_table(tmp_path / "t.parquet")


def test_text_that_fits_cannot_hold_does_not_stop_it(tmp_path: Path) -> None:
    field = describe(pa.field("β", pa.float64()), "Größe in 10″ — naïve")
    table = pa.table([pa.array([1.0])], schema=pa.schema([field]))
    write_table(
        table.rename_columns(["beta"]).cast(pa.schema([field.with_name("beta")])), tmp_path / "t.fits"
    )
    assert fits.getheader(tmp_path / "t.fits", 1)["TCOMM1"] == "Gr??e in 10? ? na?ve"
    write_table(table, tmp_path / "t.vot")
    assert about(read_table(tmp_path / "t.vot").schema.field("β"))["description"] == "Größe in 10″ — naïve"
    with pytest.raises(CatalogueError, match="β: names must be ASCII"):
        write_table(table, tmp_path / "u.fits")


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_control_characters_in_a_description_do_not_stop_it(tmp_path: Path, ending: str) -> None:
    field = describe(pa.field("x", pa.float64()), "two\nlines, a \x07bell", "photons\x07")
    write_table(pa.table([pa.array([1.0])], schema=pa.schema([field])), tmp_path / f"t{ending}")
    known = about(read_table(tmp_path / f"t{ending}").schema.field("x"))
    assert known == {"description": "two lines, a ?bell", "unit": "photons?"}
    field = describe(field, "in days", "日")
    write_table(pa.table([pa.array([1.0])], schema=pa.schema([field])), tmp_path / f"u{ending}")
    assert about(read_table(tmp_path / f"u{ending}").schema.field("x"))["unit"] in ("日", "?")


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_columns_of_vectors_and_dates(tmp_path: Path, ending: str) -> None:
    half = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float16(), 2))
    table = pa.table(
        {
            "id": ["a", "b", "c"],
            "features": half,
            "on": pa.array([0, None, 1], pa.date32()),
            "n": [[1], [2], [3]],
        }
    )
    write_table(table, tmp_path / f"t{ending}")
    back = read_table(tmp_path / f"t{ending}")
    assert back["features"].to_pylist()[::2] == [[1.0, 2.0], [3.0, 4.0]]
    assert back["on"].to_pylist() == ["1970-01-01", None, "1970-01-02"]
    assert np.ravel(back["n"].to_pylist()).tolist() == [1, 2, 3]
    for ragged in ([[1.0], [1.0, 2.0]], [["x"], ["y"]], [[1], None]):
        with pytest.raises(CatalogueError, match="write Parquet instead"):
            write_table(pa.table({"x": ragged}), tmp_path / f"r{ending}")


def test_every_column_of_a_prediction_says_what_it_is(tmp_path: Path) -> None:
    schema = prediction_schema(GZ2, 0.9, calibrated=True, features=3)
    for ending in (".fits", ".vot", ".parquet"):
        table = pa.table([pa.array([98.5], pa.float32())], schema=pa.schema([schema.field("ood_score")]))
        write_table(table, tmp_path / f"t{ending}")
        back = about(read_table(tmp_path / f"t{ending}").schema.field("ood_score"))
        assert back == about(schema.field("ood_score")) and "0 to 100" in back["description"]
        assert "unit" not in back
    assert all(about(field) for field in schema)
    assert about(schema.field("Class3.1")) == {
        "description": 'Predicted share of all votes for "bar" in "Is there a sign of a bar feature through '
        'the centre of the galaxy?"',
        "unit": "",
        "ucd": "stat.probability",
    }
    assert about(schema.field("Class3.1_low"))["description"].startswith(
        "Lower end of the 0.9 interval of the share"
    )
    ucds = {about(field)["ucd"] for field in schema}
    assert all(check_ucd(ucd, check_controlled_vocabulary=True) for ucd in ucds)


def test_any_description_is_read_by_astropy_as_it_was(tmp_path: Path) -> None:
    said = 'a "quoted" \\ word: 😀 é \x85\u2028\x9f\ufeff {x} # end'
    field = describe(pa.field("x", pa.float32()), said, "arcsec")
    write_table(pa.table([pa.array([1.0], pa.float32())], schema=pa.schema([field])), tmp_path / "t.parquet")
    column = Table.read(tmp_path / "t.parquet")["x"]
    assert (column.description, str(column.unit), column.dtype.name) == (said, "arcsec", "float32")
