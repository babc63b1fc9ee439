"""A table comes back from every format as it went in, what is missing included."""

import gzip
import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from pyarrow import feather

from galvote.errors import CatalogueError, OutputError
from galvote.io import (
    list_sources,
    read_ids,
    read_table,
    refuse_unwritable,
    register_table,
    tables,
    write_table,
)
from galvote.io.positions import read_positions
from galvote.labels import read_labels, read_votes

ENDINGS = [".csv", ".parquet", ".fits", ".vot"]

TABLE = pa.table(
    {
        "GalaxyID": ["1", "2", "é, \"three\"", "007"],
        "Class1.1": pa.array([0.25, None, 1.0, 1 / 3]),
        "votes": pa.array([10, 2**40 + 1, None, -(2**40)], pa.int64()),
        "odd": pa.array([True, False, True, True]),
        "reason": pa.array(["", "a,b", None, "naïve"]).cast(pa.string()),
    }
)  # fmt: skip


def without_empty(texts: list[str | None]) -> list[str | None]:
    return [text or None for text in texts]


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(TABLE, path)
    back = read_table(path)
    assert back.column_names == TABLE.column_names
    for name in ("GalaxyID", "Class1.1", "votes", "odd"):
        assert back[name].to_pylist() == TABLE[name].to_pylist(), name
    if ending in (".csv", ".parquet"):
        assert back["reason"].to_pylist() == TABLE["reason"].to_pylist()
    else:  # no difference between an empty text and none
        assert back["reason"].to_pylist() == without_empty(TABLE["reason"].to_pylist())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_missing_everywhere_and_no_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(pa.table({"id": ["a", "b"], "x": pa.array([None, None], pa.float32())}), path)
    assert read_table(path)["x"].to_pylist() == [None, None]
    write_table(TABLE.slice(0, 0), path, overwrite=True)
    assert read_table(path).num_rows == 0
    assert read_table(path).column_names == TABLE.column_names


def test_the_parts_of_a_prediction_are_one_table(tmp_path: Path) -> None:
    for number, rows in enumerate((TABLE.slice(0, 3), TABLE.slice(3)), 1):
        write_table(rows, tmp_path / f"shard-00000{number}.parquet")
    (tmp_path / "manifest.json").write_text("{}")
    assert read_table(tmp_path).equals(TABLE)


def test_a_folder_without_parts_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="has no Parquet files; name a table"):
        read_table(tmp_path)


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_nothing_known_of_a_column_and_repeated_words(tmp_path: Path, ending: str) -> None:
    table = pa.table(
        {"id": ["a", "b"], "reason": pa.nulls(2), "status": pa.array(["ok", "ok"]).dictionary_encode()}
    )
    write_table(table, tmp_path / f"table{ending}")
    back = read_table(tmp_path / f"table{ending}")
    assert back.to_pydict() == {"id": ["a", "b"], "reason": [None, None], "status": ["ok", "ok"]}


def test_csv_is_plain_where_it_can_be(tmp_path: Path) -> None:
    write_table(pa.table({"GalaxyID": ["100018"], "Class1.1": [0.5]}), tmp_path / "submission.csv")
    assert (tmp_path / "submission.csv").read_text() == "GalaxyID,Class1.1\n100018,0.5\n"


def test_csv_keeps_ids_as_text(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv.gz"
    path.write_bytes(gzip.compress(b"objid,ra\n007,1.5\n12345678901234567890123,2.5\n"))
    assert read_table(path).to_pydict() == {"objid": ["007", "12345678901234567890123"], "ra": [1.5, 2.5]}


def test_csv_text_that_looks_missing_comes_back(tmp_path: Path) -> None:
    write_table(pa.table({"id": ["nan", "NA", "x"]}), tmp_path / "words.csv")
    assert read_table(tmp_path / "words.csv")["id"].to_pylist() == ["nan", "NA", "x"]


def test_compressed_fits_is_read(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "table.fits")
    (tmp_path / "table.fits.gz").write_bytes(gzip.compress((tmp_path / "table.fits").read_bytes()))
    assert read_table(tmp_path / "table.fits.gz") == read_table(tmp_path / "table.fits")


def test_existing_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"table.csv exists already.*--overwrite"):
        write_table(TABLE, path)
    assert path.read_text() == "precious"
    write_table(TABLE, path, overwrite=True)
    assert read_table(path).num_rows == 4


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, ending: str) -> None:
    (tmp_path / "afile").write_text("precious")
    (tmp_path / f"folder{ending}").mkdir()
    for place in (f"afile/table{ending}", f"{'x' * 245}{ending}", f"folder{ending}"):
        for call in (lambda path: refuse_unwritable(path, True), lambda path: write_table(TABLE, path, True)):
            with pytest.raises(OutputError, match=r"cannot be written.*choose another|is a folder"):
                call(tmp_path / place)
    assert {path.name for path in tmp_path.iterdir()} == {"afile", f"folder{ending}"}
    assert (tmp_path / "afile").read_text() == "precious"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_disk_that_fills_up_while_writing(tmp_path: Path, ending: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written \(.*too large.*Make room"):
            write_table(TABLE, tmp_path / f"table{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_asking_leaves_an_empty_folder_and_no_file(tmp_path: Path, ending: str) -> None:
    refuse_unwritable(tmp_path / "new" / f"table{ending}", table=TABLE)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("ending", [".csv", ".fits", ".vot"])
def test_type_without_a_place_is_refused_and_nothing_is_left(tmp_path: Path, ending: str) -> None:
    with pytest.raises(CatalogueError, match="write Parquet instead"):
        write_table(pa.table({"id": ["a"], "image": [{"bytes": b"x"}]}), tmp_path / f"table{ending}")
    assert list(tmp_path.iterdir()) == []


def test_missing_file_unknown_ending_and_damage_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"There is no file .*votes.csv"):
        read_table(tmp_path / "votes.csv")
    for call in (lambda path: read_table(path), lambda path: write_table(TABLE, path)):
        with pytest.raises(CatalogueError, match=r"votes.xlsx has none of the endings .csv"):
            call(tmp_path / "votes.xlsx")
    for ending in (*ENDINGS, ".xml", ".fits.gz", ".csv.gz"):
        path = tmp_path / f"damaged{ending}"
        path.write_bytes(b"" if ending == ".csv" else b"PAR1 this is no table \xff\x00")
        with pytest.raises(CatalogueError, match=rf"damaged{ending} cannot be read as .*whole"):
            read_table(path)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    names, values = ["id", "ra", "dec", "source", "ra"], [["a"], [1.0], [2.0], ["a.jpg"], [3.0]]
    if ending == ".csv":
        path.write_text("id,ra,dec,source,ra\na,1,2,a.jpg,3\n")
    elif ending == ".parquet":
        pq.write_table(pa.Table.from_arrays([pa.array(column) for column in values], names), path)
    else:
        write_table(pa.table(dict(zip([*names[:4], "ra2"], values, strict=True))), path)
        path.write_bytes(path.read_bytes().replace(b"'ra2     '", b"'ra      '"))
    for read in (read_table, list_sources, read_positions, read_ids, read_votes, read_labels):
        with pytest.raises(CatalogueError, match=rf"{path} has more than one column named ra; remove or"):
            read(path)


def test_columns_of_lists_where_text_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"id": ["a"], "source": [["a.jpg"]]}), path)
    for read in (list_sources, read_labels):
        with pytest.raises(
            CatalogueError, match=rf"{path}: the column `source` holds list<.* store it as text"
        ):
            read(path)
    pq.write_table(pa.table({"id": [["a"]], "source": ["a.jpg"]}), path)
    for read in (list_sources, read_labels, read_ids):
        with pytest.raises(CatalogueError, match=rf"{path}: the column of ids holds list<"):
            read(path)


def test_fits_picture_is_no_table(real_galaxies: Path) -> None:
    with pytest.raises(CatalogueError, match=r"example_a.fits cannot be read as fits"):
        read_table(real_galaxies / "fits" / "example_a.fits")


def test_parquet_of_others_is_read_as_it_is(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([1, 2], pa.uint64()), "image": [{"bytes": b"x", "path": None}] * 2})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == table


def test_an_empty_first_chunk_does_not_reach_the_file(tmp_path: Path) -> None:
    rows = pa.table({"id": ["1", "2"], "Class1.1": [0.25, 0.5]})
    write_table(pa.concat_tables([rows.slice(0, 0), rows]), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "id,Class1.1\n1,0.25\n2,0.5\n"


NUMBERS = {
    "int8": (-128, 127),
    "uint8": (63, 255),  # 63, 16959 and 999999 are what astropy would mark a gap with
    "uint16": (16959, 2**16 - 1),
    "uint32": (999999, 2**32 - 1),
    "uint64": (999999, 2**63 - 1),
}


@pytest.mark.parametrize("ending", [".fits", ".vot"])
@pytest.mark.parametrize("gaps", [[], [None]])
def test_small_and_unsigned_numbers_come_back(tmp_path: Path, ending: str, gaps: list[None]) -> None:
    columns = {kind: pa.array([0, *pair, *gaps], getattr(pa, kind)()) for kind, pair in NUMBERS.items()}
    write_table(pa.table(columns), tmp_path / f"numbers{ending}")
    back = read_table(tmp_path / f"numbers{ending}")
    assert back.to_pydict() == pa.table(columns).to_pydict()
    if ending == ".fits" and not gaps:
        assert [str(kind) for kind in back.schema.types] == ["int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_lists_of_small_and_unsigned_numbers_come_back(tmp_path: Path, ending: str) -> None:
    columns = {kind: pa.array([pair] * 2, pa.list_(getattr(pa, kind)())) for kind, pair in NUMBERS.items()}
    write_table(pa.table(columns), tmp_path / f"lists{ending}")
    assert read_table(tmp_path / f"lists{ending}").to_pydict() == pa.table(columns).to_pydict()


def test_numbers_beyond_int64_go_to_fits_without_gaps_only(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "objid": pa.array([2**64 - 1, None], pa.uint64())})
    write_table(table.slice(0, 1), tmp_path / "t.fits")
    assert read_table(tmp_path / "t.fits") == table.slice(0, 1)
    for rows, name in ((table, "u.fits"), (table, "t.vot"), (table.slice(0, 1), "t.vot")):
        with pytest.raises(CatalogueError, match=r"18446744073709551615 not in range.*write Parquet"):
            write_table(rows, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["t.fits"]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_missing_booleans_stay_missing(tmp_path: Path, ending: str) -> None:
    values = {"id": ["a", "b", "c"], "ood": [True, None, False], "odd": [False, True, False]}
    table = pa.table({**values, "none": pa.nulls(3, pa.bool_()), "two": pa.array(values["ood"])})
    write_table(table, tmp_path / f"t{ending}")
    assert read_table(tmp_path / f"t{ending}").to_pydict() == table.to_pydict()
    if ending == ".fits":
        with fits.open(tmp_path / "t.fits") as units:
            assert units[1].columns["ood"].format == "L"
            assert units[1].data.view(np.ndarray)["ood"].tobytes() == b"T\0F"


def make_varying(rows: Sequence[Sequence[complex]], kind: type) -> np.ndarray:
    arrays = np.empty(len(rows), object)
    arrays[:] = [np.array(row, kind) for row in rows]
    return arrays


def test_fits_arrays_of_varying_length_are_lists(tmp_path: Path) -> None:
    numbers = [[1, 2], [], [3]]
    columns = [
        fits.Column("flux", "PE()", unit="mJy", array=make_varying(numbers, np.float32)),
        fits.Column("n", "PJ()", array=make_varying(numbers, np.int32)),
        fits.Column("far", "QD()", array=make_varying(numbers, np.float64)),
        fits.Column("note", "PA()", array=np.array(["abcd", "", "e"], object)),
    ]
    path = tmp_path / "t.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    back = read_table(path)
    assert back.to_pydict() == {"flux": numbers, "n": numbers, "far": numbers, "note": ["abcd", None, "e"]}
    assert back.schema.field("flux").metadata == {b"unit": b"mJy"}
    write_table(back, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == back
    path.write_bytes(path.read_bytes().replace(b"abcd", "é!!".encode()))
    with pytest.raises(CatalogueError, match=r"must be ASCII; store it"):
        read_table(path)


def test_fits_arrays_that_no_list_can_hold_are_named(tmp_path: Path) -> None:
    column = fits.Column("phase", "PM()", array=make_varying([[1j], [1, 2]], complex))
    fits.BinTableHDU.from_columns([column]).writeto(tmp_path / "t.fits")
    with pytest.raises(CatalogueError, match=r"the column phase holds .* remove it") as raised:
        read_table(tmp_path / "t.fits")
    assert "whole" not in str(raised.value)


def test_votable_arrays_of_varying_length_are_lists(tmp_path: Path) -> None:
    (tmp_path / "t.vot").write_text(
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        '<FIELD name="flux" datatype="float" arraysize="*"/>'
        '<FIELD name="odd" datatype="boolean" arraysize="*"/>'
        "<DATA><TABLEDATA><TR><TD>1 2.5</TD><TD>T F ?</TD></TR><TR><TD/><TD/></TR></TABLEDATA></DATA>"
        "</TABLE></RESOURCE></VOTABLE>"
    )
    back = read_table(tmp_path / "t.vot")
    assert back.to_pydict() == {"flux": [[1.0, 2.5], []], "odd": [[True, False, None], []]}


@pytest.mark.parametrize("ending", [".csv", ".fits", ".vot"])
@pytest.mark.parametrize("name", ["", " a", "a\tb", "a\x01"])
def test_names_that_no_reader_reads_are_refused(tmp_path: Path, ending: str, name: str) -> None:
    table = pa.table({"id": ["a"], name: [1]})
    for write in (write_table, lambda table, path: refuse_unwritable(path, table=table)):
        with pytest.raises(CatalogueError, match=r"names must be printable.*write Parquet instead"):
            write(table, tmp_path / f"t{ending}")
    write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").column_names == ["id", name]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"ra": [1], "RA": [2]}, "ra, RA: names must differ in more than case"),
        ({"x" * 69: [1]}, "xxx: names must be ASCII, and of 68 letters at most"),
        ({f"c{i}": [1] for i in range(1000)}, "there are 1000, and 999 at most can be"),
        ({"note": ["a\0"]}, "note: its text has control characters"),
    ],
)
def test_what_fits_cannot_hold(tmp_path: Path, table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        write_table(pa.table(table), tmp_path / "t.fits")


@pytest.mark.parametrize("ending", [".fits", ".vot"])
@pytest.mark.parametrize("lists", [[[True], [False]], [["a"], ["b"]], [[1], [2, 3]], [[], []]])
def test_lists_without_a_place_are_refused_by_name(tmp_path: Path, ending: str, lists: list[object]) -> None:
    with pytest.raises(CatalogueError, match=r"no way to say one of these columns \(which: list<"):
        write_table(pa.table({"id": ["a", "b"], "which": lists}), tmp_path / f"t{ending}")


def test_a_format_of_tables_that_is_registered_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galvote.io.tables._FORMATS", list(tables._FORMATS))
    register_table(
        "feather",
        ".feather",
        read=lambda path: feather.read_table(path),
        write=lambda table, path: feather.write_feather(table, str(path)),
    )
    write_table(TABLE, tmp_path / "t.feather")
    assert read_table(tmp_path / "t.feather") == TABLE
