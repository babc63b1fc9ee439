"""Write an image of each galaxy of a catalogue of positions."""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa
from PIL import Image

from galvote.errors import CatalogueError, ImageError
from galvote.images.decode import decode_image
from galvote.images.geometry import FRAME_PIXELS, FRAME_WIDTH, Geometry, to_cutout, try_read
from galvote.images.look_up import look_up
from galvote.images.services import CutoutService
from galvote.io.atomic import refuse_foreign, write_whole
from galvote.io.bands import Look
from galvote.io.positions import Positions, read_positions
from galvote.io.sources import Source
from galvote.io.tables import read_table, write_table
from galvote.io.threads import available_cores, map_in_threads

_MANIFEST, _CATALOGUE = "cutouts.json", "catalogue.csv"
_ENDINGS = (".jpg", ".png")


def cutouts(
    catalogue: str | Path,
    out: str | Path,
    *,
    field: str | Path | Sequence[str | Path] | None = None,
    survey: str | CutoutService | None = None,
    id_column: str | None = None,
    size_column: str | None = None,
    arcsec: float | None = None,
    look: Look | None = None,
    pixels: int = FRAME_PIXELS,
    image_format: Literal["jpg", "png"] = "jpg",
    overwrite: bool = False,
    report: Callable[[str], None] = lambda said: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Write an image of each galaxy at the scale of Galaxy Zoo 2, 8.48 r90 wide.

    What an earlier call wrote to the folder stays, and galaxies without an image are tried again.

    Parameters
    ----------
    catalogue
        Table of positions; see `galvote.io.positions.read_positions`.
    out
        Folder for the images and their ``catalogue.csv``; made if it does not exist.
    field
        A FITS image with a WCS, or three of one band each: g, r, i.
    survey
        Instead: one of `galvote.images.services.SURVEYS`, or a service with settings of its own.
    id_column
        Column of ids; by default the first of `galvote.io.columns.ID_COLUMNS` that is there.
    size_column
        Column of r90; ``petroR90_r`` or ``r90`` by default.
    arcsec
        Width of the images of galaxies whose r90 is unknown. Without it, r90 is measured in the field, while
        a survey's galaxies without one have no image.
    look
        Other bands of a field, or another stretch of a single one.
    pixels
        Width of the images, from 8 to 2048 pixels.
    image_format
        ``jpg`` or ``png``.
    overwrite
        Remove the images that an earlier call wrote first: those that ``catalogue.csv`` lists.
    report
        Called with what is to be said once.
    on_progress
        Called with how many galaxies are done, and their total: of those that are measured, then of all.

    Returns
    -------
    pyarrow.Table
        What ``catalogue.csv`` holds, in the order of the catalogue: ``id``, ``source`` (name of the image's
        file), ``ra``, ``dec`` (degrees), ``r90`` (arcseconds), ``status`` (``ok``, or what was wrong) and
        ``reason``.

    Raises
    ------
    CatalogueError
        If the catalogue cannot be used, or the folder holds cutouts of another one, or of another field.
    OutputError
        If the folder holds something else, or cannot be written to.
    ImageError
        If the field cannot be opened.
    """
    if f".{image_format}" not in _ENDINGS or not 8 <= pixels <= 2048:
        raise CatalogueError(f"Images are jpg or png, of 8 to 2048 pixels, not {image_format} of {pixels}.")
    out = Path(out)
    refuse_foreign(out, _MANIFEST, "cutouts of a catalogue")
    positions = read_positions(catalogue, size_column=size_column, id_column=id_column, report=report)
    # Ids may hold what names of files may not; quoted, they stay different from one another.
    paths = [out / f"{quote(id_, safe=' +')}.{image_format}" for id_ in positions.ids]
    geometry = Geometry(field_of_view=FRAME_WIDTH, pixels=pixels)
    looked_up = look_up(
        positions,
        field=field,
        survey=survey,
        arcsec=arcsec,
        look=look,
        report=report,
        on_progress=on_progress,
    )
    with looked_up as (positions, sources):
        plan = {"pixels": pixels, "format": image_format, "sources": sources.digest()}
        _begin(out, paths, plan | ({"field": _states(field)} if field else {}), overwrite)
        failures = list[ImageError | None]()
        write = partial(_write_image, geometry=geometry)
        # A service is waited for, whatever the number of cores.
        for failure in map_in_threads(
            write, zip(sources, paths, strict=True), threads=max(available_cores(), 4)
        ):
            failures.append(failure)
            if on_progress is not None:
                on_progress(len(failures), len(paths))
    table = _to_table(positions, paths, failures)
    write_table(table, out / _CATALOGUE, overwrite=True)
    return table


def _begin(out: Path, paths: Sequence[Path], plan: dict[str, Any], overwrite: bool) -> None:
    """Write down what the folder is to hold, or raise `CatalogueError` if it holds something else."""
    manifest = out / _MANIFEST
    if overwrite:
        for path in (*_written(out), *paths, out / _CATALOGUE):
            path.unlink(missing_ok=True)
    elif manifest.is_file():
        try:
            begun = json.loads(manifest.read_text())
        except ValueError:
            begun = None
        if begun != plan:
            raise CatalogueError(
                f"{out} holds images of another catalogue or survey, of a field that has changed since, or "
                "with other settings; go on with those, choose another folder, or start anew with "
                "--overwrite (overwrite=True)."
            )
    write_whole(manifest, json.dumps(plan, indent=1) + "\n")


def _written(out: Path) -> list[Path]:
    """Return the images that the folder's catalogue lists."""
    with suppress(CatalogueError, KeyError):  # there is none, or a person has changed it
        names = map(str, read_table(out / _CATALOGUE)["source"].drop_null().to_pylist())
        return [out / name for name in names if Path(name).suffix in _ENDINGS and Path(name).name == name]
    return []


def _states(field: str | Path | Sequence[str | Path]) -> list[list[int]]:
    """Return the size of each of a field's files and when it was changed."""
    places = map(str, [field] if isinstance(field, str | Path) else field)
    files = [Path(place if Path(place).is_file() else place.rpartition("[")[0]).stat() for place in places]
    return [[file.st_size, file.st_mtime_ns] for file in files]


def _write_image(place: tuple[Source, Path], geometry: Geometry) -> ImageError | None:
    """Write one image unless it is there; return what is wrong instead of raising it."""
    source, path = place
    if path.exists():
        return None
    data = try_read(partial(_encode, source, path.suffix, geometry))
    if isinstance(data, ImageError):
        return data
    write_whole(path, data)
    return None


def _encode(source: Source, ending: str, geometry: Geometry) -> bytes:
    """Return the bytes of a galaxy's image; a survey's JPEG stays as it came if it can."""
    data = source.read()
    if isinstance(data, tuple) and ending == ".jpg" and geometry.pixels == FRAME_PIXELS:
        return data[0]
    file = io.BytesIO()
    image = Image.fromarray(to_cutout(decode_image(data), geometry, field_of_view=FRAME_WIDTH))
    how: dict[str, Any] = {"quality": 95, "subsampling": 0} if ending == ".jpg" else {}
    image.save(file, "JPEG" if how else "PNG", **how)
    return file.getvalue()


def _to_table(positions: Positions, paths: Sequence[Path], failures: Sequence[ImageError | None]) -> pa.Table:
    names = [None if failure else path.name for path, failure in zip(paths, failures, strict=True)]
    columns = {
        "id": pa.array(positions.ids, pa.string()),
        "source": pa.array(names, pa.string()),
        **{name: pa.array(getattr(positions, name), from_pandas=True) for name in ("ra", "dec", "r90")},
        "status": pa.array([failure.status if failure else "ok" for failure in failures], pa.string()),
        "reason": pa.array([failure.reason if failure else "" for failure in failures], pa.string()),
    }
    return pa.table(columns)
