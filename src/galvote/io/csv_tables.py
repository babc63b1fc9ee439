"""CSV and its dialects, through Arrow: a column becomes numbers where these say all that its text says."""

import csv
import io
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from galvote.io.astropy_tables import read_ecsv
from galvote.io.columns import (
    ID_COLUMNS,
    describe,
    is_text,
    refuse_names,
    refuse_repeated,
    whole,
    without_gaps,
)

# What an unquoted field without a value looks like. Text that looks so is quoted when written.
_NO_VALUE = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
_NEEDS_QUOTES = r'[",\r\n]|^(' + "|".join(_NO_VALUE) + ")$"
_PADDED, _LONG = r"^[+-]?0[\dxX]", r"^[+-]?\d{16,}(\.0*)?$"
"""Digits that a number would not give back: leading zeros, hexadecimal; more than a float holds."""
_DELIMITERS = ",;\t|"
_HEAD = 1 << 20


def read_csv(path: Path) -> pa.Table:
    """Read CSV or a relative of it: delimiter, encoding, decimal commas and a row of units are found."""
    dialect = _find_dialect(path)
    if dialect is None:
        return read_ecsv(path)
    named = [name or f"column_{place}" for place, name in enumerate(dialect.names, start=1)]
    refuse_repeated(named, path)
    texts, units = _take_units(_read_texts(path, dialect, named))
    columns = {name: whole(texts[name]) if _holds_ids(name) else _settle(texts[name]) for name in named}
    if dialect.delimiter != "," and not any(pa.types.is_floating(column.type) for column in columns.values()):
        columns |= {
            name: _settle(pc.replace_substring(column, ",", "."))
            for name, column in columns.items()
            if is_text(column.type) and not _holds_ids(name) and _has_decimal_commas(column)
        }
    for name, found in zip(named, dialect.names, strict=True):
        if not found and columns[name].null_count == len(texts):
            del columns[name]  # each row ends with a delimiter
    fields = [
        describe(pa.field(name, column.type), None, units.get(name) or None)
        for name, column in columns.items()
    ]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


class _Dialect(NamedTuple):
    names: list[str]
    delimiter: str
    skipped: int
    """Lines before the first row."""
    encoding: str
    blanks: bool
    """Whether a blank follows each delimiter."""


def _find_dialect(path: Path) -> _Dialect | None:
    """Look at the first lines of a file; None if it is ECSV."""
    with pa.input_stream(str(path)) as file:
        head = file.read(_HEAD)
    encoding = "utf-16" if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
    if encoding == "utf-8" and b"\0" in head[:4]:
        raise ValueError("it begins with zero bytes, which no text has; save the table as UTF-8")
    lines = io.StringIO(head.decode(encoding, "replace").removeprefix("\ufeff"), newline="")
    skipped, delimiter, above = 0, "", ""
    for line in lines:
        if line.startswith("sep=") and len(line.rstrip()) == 5:
            delimiter = line[4]
        elif line.startswith("# %ECSV"):
            return None
        elif line.strip() and not line.startswith("#"):
            break
        else:
            above = line if line.strip() else above
        skipped += 1
    else:
        raise ValueError("it is empty" if not head else "it has no names of columns")
    parsed = {one: next(csv.reader([line], delimiter=one)) for one in delimiter or _DELIMITERS}
    delimiter = max(parsed, key=lambda one: len(parsed[one]))
    reader = csv.reader(chain([line], lines), delimiter=delimiter)
    header = next(reader)
    skipped += reader.line_num
    commented = next(csv.reader([above.lstrip("# ")], delimiter=delimiter), [])
    if len(commented) == len(header) and (any(map(_is_number, header)) or any(map(_holds_ids, commented))):
        header, skipped = commented, skipped - reader.line_num  # `#id,ra,dec` above the first row
    blanks = len(header) > 1 and all(name.startswith(" ") for name in header[1:])
    return _Dialect([name.strip() for name in header], delimiter, skipped, encoding, blanks)


def _read_texts(path: Path, dialect: _Dialect, names: Sequence[str]) -> pa.Table:
    """Read all columns as text; a row of another length than the header is an error that names it."""
    wrong = list[pyarrow.csv.InvalidRow]()

    def pass_over(row: pyarrow.csv.InvalidRow) -> str:
        if not row.text.startswith("#"):
            wrong.append(row)
        return "skip"

    source: Path | pa.BufferReader = path
    if dialect.blanks:
        source, dialect = _without_blanks(path, dialect)
    try:
        texts = pyarrow.csv.read_csv(
            source,
            pyarrow.csv.ReadOptions(
                use_threads=False,  # as fast, and the numbers of rows are known
                block_size=1 << 24,
                skip_rows=dialect.skipped,
                column_names=names,
                encoding=dialect.encoding,
            ),
            pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=pass_over
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(_NO_VALUE),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "either file is too short" in str(error):  # names without a line end
            return pa.table({name: pa.array([], pa.string()) for name in names})
        raise ValueError(_find_undecodable(path) if "UTF8" in str(error) else error) from error
    if wrong:
        raise ValueError(
            f"row {wrong[0].number - dialect.skipped} has {wrong[0].actual_columns} values under "
            f"{wrong[0].expected_columns} names: {wrong[0].text[:80]!r}"
        )
    _refuse_open_quote(path, texts)
    return texts


def _without_blanks(path: Path, dialect: _Dialect) -> tuple[pa.BufferReader, _Dialect]:
    """Write `a, "b"` as `a,"b"`, which Arrow reads: blanks after delimiters are none of the values'."""
    with pa.input_stream(str(path)) as file:
        text = io.TextIOWrapper(file, dialect.encoding, newline="")
        for _ in range(dialect.skipped):
            text.readline()
        plain = io.StringIO()
        rows = csv.reader(text, delimiter=dialect.delimiter, skipinitialspace=True)
        csv.writer(plain, delimiter=dialect.delimiter).writerows(rows)
    return pa.BufferReader(plain.getvalue().encode()), dialect._replace(skipped=0, encoding="utf-8")


def _find_undecodable(path: Path) -> str:
    """Say which line is not UTF-8."""
    with pa.input_stream(str(path)) as file:
        for number, line in enumerate(io.BufferedReader(file), start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                place = line[max(0, error.start - 20) : error.end + 20]
                return f"line {number} is not UTF-8 at {place!r}; save the table as UTF-8"
    return "it is not UTF-8"


def _refuse_open_quote(path: Path, texts: pa.Table) -> None:
    """Raise an error if a quote is open until the end of the file: one value would hold all that follows."""
    last = texts.column(texts.num_columns - 1)[-1].as_py() if len(texts) else None
    if last and "\n" in last:
        with pa.input_stream(str(path)) as file:
            if not file.read().rstrip().endswith(b'"'):
                raise ValueError(f"row {len(texts)}: the quote before {last[:60]!r} is never closed")


def _take_units(texts: pa.Table) -> tuple[pa.Table, Mapping[str, str]]:
    """Return the rows without one of units and one of dashes below the names, and the units by name."""
    rows = [
        {name: (text or "").strip() for name, text in row.items()} for row in texts.slice(0, 3).to_pylist()
    ]
    dashed = next((i for i, row in enumerate(rows) if set("".join(row.values())) == {"-"}), None)
    if len(texts.column_names) > 1 and dashed is not None and dashed < 2:  # as VizieR has it
        return texts.slice(dashed + 1), rows[0] if dashed else {}
    if len(rows) < 2 or any(
        _is_number(text) or (text and _holds_ids(name)) for name, text in rows[0].items()
    ):
        return texts, {}
    said = {name: text for name, text in rows[0].items() if _is_number(rows[1][name])}
    return (texts.slice(1), rows[0]) if any(map(_is_unit, said.values())) else (texts, {})


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _is_unit(text: str) -> bool:
    from astropy.units import Unit

    try:
        return bool(text) and Unit(text) is not None
    except ValueError:
        return False


def _settle(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of text as numbers or truth values, if all of it can be and nothing is lost."""
    text = without_gaps(column)
    if text.null_count == len(text):
        return column if pc.any(pc.equal(column, "")).as_py() else pa.chunked_array([pa.nulls(len(text))])
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        try:
            settled = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        if pa.types.is_floating(kind):
            lost = (pc.max(pc.abs(settled)).as_py() or 0) >= 2**53 and _any_match(text, _LONG)
        else:
            lost = _any_match(text, _PADDED)
        return column if lost else settled
    return column


def _any_match(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())


def _has_decimal_commas(column: pa.ChunkedArray) -> bool:
    """Whether all of a column of text are numbers or nothing, and some of them have a decimal comma."""
    numbers = pc.match_substring_regex(column, r"^\s*[+-]?\d*(,\d+)?([eE][+-]?\d+)?\s*$|^\s*--?\s*$")
    return bool(pc.all(numbers).as_py() and pc.any(pc.match_substring(column, ",")).as_py())


def _holds_ids(name: str) -> bool:
    return name.lower() in {known.lower() for known in ID_COLUMNS}


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a CSV file; raises Arrow's errors for columns that CSV cannot hold."""
    refuse_names(table.column_names)
    # Arrow quotes every text or none. Ids without quotes are what the challenge's readers expect.
    texts = [column for column in table.columns if is_text(column.type)]
    quoted = any(pc.any(pc.match_substring_regex(text, _NEEDS_QUOTES)).as_py() for text in texts)
    header = io.StringIO()
    plain = not table.column_names[0].startswith(("#", "sep="))
    csv.writer(header, lineterminator="\n", quoting=csv.QUOTE_MINIMAL if plain else csv.QUOTE_ALL).writerow(
        table.column_names
    )
    with path.open("wb") as file:
        file.write(header.getvalue().encode())
        pyarrow.csv.write_csv(
            table.combine_chunks(),  # of an empty first chunk pyarrow 26 writes stale memory
            file,
            pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed" if quoted else "none"),
        )
