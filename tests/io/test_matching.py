"""Rows are the same galaxy by id or, where there are coordinates instead, by their position."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from galvote.errors import CatalogueError
from galvote.io import list_sources, read_ids, read_table, write_table
from galvote.io.matching import match_positions, row_ids
from galvote.io.positions import Positions, positions_of, read_positions

ARCSEC = 1 / 3600


def reference() -> Positions:
    ra, dec = np.array([359.99999, 10.0, 10.0, 200.0, np.nan]), np.array([0.0, 45.0, 45.001, 89.9999, 0.0])
    return Positions(tuple("abcde"), ra, dec, np.full(5, np.nan), pa.table({}))


def test_positions_match_within_an_arcsecond_around_the_sky() -> None:
    near_a, near_b, near_pole = (
        (0.00001, 0.0),
        (10.0 + 0.9 * ARCSEC / np.cos(np.pi / 4), 45.0),
        (210.0, 89.9999),
    )
    far, nowhere = (10.0, 45.0 - 1.1 * ARCSEC), (np.nan, 0.0)
    places = np.array([near_a, near_b, near_pole, far, nowhere]).T
    match = match_positions(*places, reference().ra, reference().dec)
    assert match.rows.tolist() == [0, 1, 3, -1, -1]
    assert not match.ambiguous.any()
    assert "3 of 5 rows match a galaxy; 2 match none" in match.describe()


def test_ambiguous_positions_are_flagged_and_match_nothing() -> None:
    two_near_b, alone = np.array([[10.0, 45.0], [10.0, 45.0 + 0.5 * ARCSEC]]), [[200.0, 89.9999]]
    match = match_positions(*np.vstack([two_near_b, alone]).T, reference().ra, reference().dec)
    assert match.rows.tolist() == [-1, -1, 3]
    assert match.ambiguous.tolist() == [True, True, False]
    between = np.array([10.0]), np.array([45.0005])  # b and c
    assert match_positions(*between, reference().ra, reference().dec, within=2.0).ambiguous.tolist() == [True]
    assert match_positions(*between, *between).rows.tolist() == [0]
    nothing = np.array([])
    assert match_positions(nothing, nothing, *between).rows.tolist() == []
    assert match_positions(*between, nothing, nothing).rows.tolist() == [-1]


def test_rows_without_ids_have_that_of_the_galaxy_at_their_position() -> None:
    table = pa.table({"RA": [10.0, 77.0], "DEC": [45.0, 0.0]})
    told = list[str]()
    assert row_ids(table, Path("t.csv"), reference=reference(), report=told.append) == ("b", "")
    assert told[0].startswith("t.csv has no ids. By position, 1 of 2 rows match")
    with_ids = table.append_column("id", [["x", "y"]])
    assert row_ids(with_ids, Path("t.csv"), reference=reference()) == ("x", "y")
    named = table.append_column("name", [["v", "w"]])
    assert row_ids(named, Path("t.csv"), "Name", reference()) == ("v", "w")
    with pytest.raises(CatalogueError, match=r"no column of ids: it has RA, DEC.*--id-column"):
        row_ids(table, Path("t.csv"))
    with pytest.raises(CatalogueError, match=r"no position in it is within 1 arcsecond"):
        row_ids(table.slice(1), Path("t.csv"), reference=reference())


def test_places_of_images_that_have_positions(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    for name, ra in (("a", 1.0), ("b", 2.0)):
        columns = {"id": [name], "source": ["x.jpg"], "ra": [ra], "dec": [0.0]}
        write_table(pa.table(columns), tmp_path / f"{name}.csv")
    write_table(pa.table({"id": ["c"], "source": ["x.jpg"]}), tmp_path / "c.csv")
    places = [tmp_path / name for name in ("a.csv", "x.jpg", "c.csv", "b.csv")]
    found = positions_of(places)
    assert found is not None and found.ids == ("a", "b") and found.ra.tolist() == [1.0, 2.0]
    assert positions_of([tmp_path / "x.jpg", tmp_path]) is None


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_the_column_of_ids_may_have_any_name(tmp_path: Path, ending: str) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    path = tmp_path / f"t{ending}"
    columns = {
        "id": ["1", "2"],
        "Name": ["007", "8"],
        "source": ["x.jpg", None],
        "ra": [1.0, 2],
        "dec": [0.0, 1],
    }
    write_table(pa.table(columns), path)
    assert read_ids(path, id_column="name") == ("007", "8")
    assert list_sources(path, id_column="name").ids == ("007", "8")
    assert read_positions(path, id_column="Name").ids == ("007", "8")
    assert read_table(path)["Name"].to_pylist() == ["007", "8"]
    with pytest.raises(
        CatalogueError, match=r"no column of ids: it has id, Name.*; nr was looked for\. Name it"
    ):
        read_ids(path, id_column="nr")
