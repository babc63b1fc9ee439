"""CSV as spreadsheets, archives and other programs write it."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time

from galvote.errors import CatalogueError
from galvote.io import list_sources, read_table, write_table
from galvote.io.columns import about
from galvote.io.positions import read_positions

LONG = ("1237648720693755918", "1237648720693755919")
PLAIN = f"objid,ra,dec,r90\n{LONG[0]},149.99,1.99,5\n{LONG[1]},150.0,2.0,6\n"
ECSV = """# %ECSV 1.0
# ---
# datatype:
# - {name: objid, datatype: int64}
# - {name: ra, unit: deg, datatype: float64}
# - {name: dec, unit: deg, datatype: float64}
# - {name: r90, datatype: int64}
"""
DIALECTS = {
    "skyserver.csv": "#Table1\n" + PLAIN,
    "comment.csv": "# of a, b, c, d\n\n" + PLAIN,
    "commented.csv": "#" + PLAIN,
    "texts.csv": "#objid,ra,dec,r90,name\n" + "".join(f"{line},x\n" for line in PLAIN.split()[1:]),
    "semicolons.csv": PLAIN.replace(",", ";"),
    "commas.csv": PLAIN.replace(",", ";").replace(".", ","),
    "sep.csv": "sep=;\n" + PLAIN.replace(",", ";"),
    "tabs.csv": PLAIN.replace(",", "\t"),
    "tabs.tsv": PLAIN.replace(",", "\t"),
    "bars.csv": PLAIN.replace(",", "|"),
    "blanks.csv": PLAIN.replace(",", ", "),
    "ends.csv": PLAIN.replace("\n", ",\n"),
    "bom.csv": "\ufeff" + PLAIN,
    "windows.csv": PLAIN.replace("\n", "\r\n"),
    "units.csv": PLAIN.replace("\n", "\n,deg,deg,arcsec\n", 1),
    "vizier.tsv": "#RESOURCE=x\n\n"
    + PLAIN.replace("\n", "\n ,deg,deg,arcsec\n---,----,---,--\n", 1).replace(",", "\t")
    + "\n#END\n",
    "ecsv.csv": ECSV + "# delimiter: ','\n# schema: astropy-2.0\n" + PLAIN,
    "blanks.ecsv": ECSV + "# schema: astropy-2.0\n" + PLAIN.replace(",", " "),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DIALECTS[name].encode())
    positions = read_positions(tmp_path / name)
    assert positions.ids == LONG
    assert (positions.ra.tolist(), positions.dec.tolist()) == ([149.99, 150.0], [1.99, 2.0])
    assert positions.r90.tolist() == [5, 6]
    assert positions.table.column_names[:4] == ["objid", "ra", "dec", "r90"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv.gz"
    mark = "" if encoding == "utf-16" else "\ufeff"
    path.write_bytes(gzip.compress((mark + PLAIN).encode(encoding)))
    assert read_positions(path).ids == LONG
    if mark:
        path.write_bytes(gzip.compress(PLAIN.encode(encoding)))
        with pytest.raises(CatalogueError, match=r"zero bytes, .*save the table as UTF-8"):
            read_table(path)


def test_units_and_gaps_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,ra,dec,r90,note\n,deg,deg,arcmin,\na,--,2.0,6,--\nb,1,2.5,,x\n")
    positions = read_positions(path)
    np.testing.assert_array_equal(positions.ra, [np.nan, 1])
    np.testing.assert_array_equal(positions.r90, [360, np.nan])
    assert about(positions.table.schema.field("dec")) == {"unit": "deg"}
    assert positions.table["note"].to_pylist() == ["--", "x"]
    path.write_text("id,mag\ng1,m\ng2,5\n")  # no row of units, as it has an id
    assert read_table(path).to_pydict() == {"id": ["g1", "g2"], "mag": ["m", "5"]}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_numbers_that_would_change_stay_text_in_every_format(tmp_path: Path, ending: str) -> None:
    columns = {
        "GalaxyID": ["1", "2"],
        "specobjid": ["14099124424486649856", "14099124424486649857"],
        "plate": ["0266", "12"],
        "hex": ["0x1F", "7"],
        "long": [2**63 - 1, -(10**18)],
        "run": ["1237648720693755918.0", "1.5"],
        "time": ["10:00:00", "11:00:00"],
    }
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    write_table(read_table(tmp_path / "in.csv"), tmp_path / f"out{ending}")
    assert read_table(tmp_path / f"out{ending}").to_pydict() == columns


def test_line_breaks_in_many_values(tmp_path: Path) -> None:
    value = '"' + '[{""task"":""T0"",\n""value"":""comment number one""}]' * 4 + '"'
    rows = "".join(f"{i:07d},a.jpg,{value}\n" for i in range(20_000))
    (tmp_path / "t.csv").write_text("id,source,annotations\n" + rows)
    assert len(list_sources(tmp_path / "t.csv")) == 20_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"id,ra\n1,2\n1,2,3\n", r"row 2 has 3 values under 2 names: '1,2,3'"),
        (b"#a\nid, ra\n1, 2\n1\n", r"row 2 has 1 values under 2 names: '1'"),
        (b'id,ra\n1,"2\n3,4\n5,6\n', r"row 1: the quote before '2.n3,4.n5,6.n' is never closed"),
        ("id,name\n1,x\n2,Ga\xebl\n".encode("latin1"), r"line 3 is not UTF-8 at b'2,Ga.xebl.n'; save"),
        (b"# nothing\n", "it has no names of columns"),
        (b"id,ra,dec\n1,2,3\n2,x,3\n", "row 2 of the column `ra` is no number: 'x'; correct it"),
        (b"id;ra;dec;x\n1;2,5;3,5;1.5\n", "row 1 of the column `ra` is no number: '2,5'"),  # of thousands?
        (b"id,ra,RA,dec\n1,2,3,4\n", "has the columns ra, RA, which differ only in case; rename"),
        (b"id,ID,ra,dec\n1,2,3,4\n", "has the columns id, ID, which differ only in case; .*--id-column"),
        (b"id,ra,dec\n1.23765E+18,2,3\n", r"the id in row 1 is 1.23765E\+18\. A spreadsheet"),
        (b"objid,ra,dec\n1,1,1\n1237648720693755904.0,2,3\n", "the id in row 2 is .*last digits are lost"),
        (b"id,ra,dec\n1237648720693750000,2,3\n", "zeros after their 15th digit, as 12376.*keeps 15 digits"),
        (b"id,ra,dec\n100.0,2,3\n100,2,3\n", "1 id more than once: 100"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(CatalogueError, match=message):
        read_positions(tmp_path / "t.csv")


def test_names_alone_are_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,ra")
    assert read_table(tmp_path / "t.csv").to_pydict() == {"id": [], "ra": []}
    write_table(pa.table({"#id": ["x"], "y": ["z"]}), tmp_path / "t.csv", overwrite=True)
    assert read_table(tmp_path / "t.csv").to_pydict() == {"#id": ["x"], "y": ["z"]}


@pytest.mark.parametrize("ending", [".fits", ".ecsv"])
def test_columns_of_sky_coordinates_and_others_with_parts(tmp_path: Path, ending: str) -> None:
    sky = SkyCoord([150.0, 151.0], [2.0, 3.0], unit="deg").galactic
    table = QTable({"id": ["007", "8"], "time": Time([2450000.5, 2450001], format="jd"), "coord": sky})
    table["r90"] = [1, 2] * units.arcmin
    table.write(tmp_path / f"t{ending}")
    told = list[str]()
    positions = read_positions(tmp_path / f"t{ending}", report=told.append)
    assert positions.ids == ("007", "8")
    np.testing.assert_allclose([positions.ra, positions.dec], [[150, 151], [2, 3]])
    np.testing.assert_allclose(positions.r90, [60, 120])
    assert "ids from `id`, coordinates from `coord.ra`, `coord.dec`, sizes from `r90`" in told[0]


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        (["10:00:00", "11:30:00.5"], ["-00:30:00", "+02:00:00"]),
        (["10 00 00", "11 30 00.5"], ["-0 30 00", "2 0 0"]),
        (["10h00m00s", "11h30m00.5s"], ["-0d30m", "2d00m00s"]),
        (["150.0", " 172.502083333333 "], ["-0.5", "2"]),
    ],
)
def test_coordinates_in_text(tmp_path: Path, ra: list[str], dec: list[str]) -> None:
    write_table(pa.table({"ra": [*ra, None], "dec": [*dec, "--"]}), tmp_path / "t.parquet")
    told = list[str]()
    positions = read_positions(tmp_path / "t.parquet", report=told.append)
    np.testing.assert_allclose(positions.ra, [150, 172.5 + 0.5 / 240, np.nan])
    np.testing.assert_allclose(positions.dec, [-0.5, 2, np.nan])
    assert "rows are numbered from 0" in told[0]
