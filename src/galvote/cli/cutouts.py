"""`galvote cutouts`: pictures of a catalogue's galaxies, from a field or from a survey's cutout service."""

from __future__ import annotations

import json
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from galvote.cli.positions import (
    Arcsec,
    Cache,
    FieldOption,
    ServiceUrl,
    SizeColumn,
    Sky,
    SurveyOption,
)
from galvote.errors import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from galvote.io import Source, Sources
    from galvote.io.positions import Positions

_MANIFEST, _CATALOGUE = "cutouts.json", "catalogue.csv"
_QUALITY = 95


class ImageFormat(StrEnum):
    """How the pictures are written."""

    jpg = "jpg"
    png = "png"


def cutouts(
    catalogue: Annotated[
        Path, typer.Option(help="Table of positions: ra and dec in degrees, and r90 in arcseconds.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and catalogue.csv.")],
    field: FieldOption = None,
    survey: SurveyOption = None,
    size_column: SizeColumn = None,
    arcsec: Arcsec = None,
    pixels: Annotated[int, typer.Option(min=8, max=2048, help="Width of the pictures.")] = 424,
    format_: Annotated[ImageFormat, typer.Option("--format", help="Of the pictures.")] = ImageFormat.jpg,
    service_url: ServiceUrl = None,
    cache: Cache = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second, at most.")] = 2.0,
    attempts: Annotated[int, typer.Option(min=1, help="How often each picture is asked for.")] = 5,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")] = 30.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the pictures of an earlier run first.")
    ] = False,
) -> None:
    """Write a picture of each galaxy at the scale of GZ2; what cannot be had becomes a row that says why.

    The same command goes on where an earlier one was stopped, and tries again what could not be had.
    """
    from galvote.cli.progress import plain_console, progress_bar, stoppable
    from galvote.io import write_table

    console = plain_console(stderr=True)
    _refuse_other_things(out)
    sky = Sky(catalogue, field, survey, service_url, size_column, arcsec, cache, rate, attempts, timeout)
    positions, sources = sky.look_up(sky.read(), console)
    _begin(out, {"pixels": pixels, "format": str(format_), "sources": sources.digest()}, overwrite)
    stopped = "Stopped. The same command goes on from there."
    with stoppable(console, lambda: stopped), progress_bar(console) as progress:
        bar = progress.add_task("cutting out", total=len(sources))
        rows = _write_images(sources, out, pixels, format_, lambda: progress.advance(bar))
    write_table(_to_table(positions, rows), out / _CATALOGUE, overwrite=True)
    said = ", ".join(f"{n} {status}" for status, n in Counter(row["status"] for row in rows).items())
    console.print(f"{len(rows)} galaxies in {out / _CATALOGUE}: {said}", soft_wrap=True)


def _refuse_other_things(out: Path) -> None:
    """Raise `CatalogueError` if the place holds anything but an earlier run."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MANIFEST).is_file())):
        raise CatalogueError(
            f"{out} holds something that `galvote cutouts` did not write, and is left as it is; choose "
            "another folder."
        )


def _begin(out: Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Write down what the folder is to hold, or raise `CatalogueError` if it holds something else."""
    manifest = out / _MANIFEST
    if overwrite and out.exists():
        for path in out.iterdir():
            if path.suffix[1:] in set(ImageFormat) or path.name == _CATALOGUE:
                path.unlink()
    elif manifest.is_file():
        try:
            begun = json.loads(manifest.read_text())
        except ValueError:
            begun = None
        if begun != plan:
            raise CatalogueError(
                f"{out} holds pictures of another catalogue or place, or with other settings; go on with "
                "those, choose another folder, or start anew with --overwrite."
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogueError(f"{out} cannot be made: {error}. Choose another folder.") from error
    _write_whole(manifest, (json.dumps(plan, indent=1) + "\n").encode())


def _write_images(
    sources: Sources, out: Path, pixels: int, format_: ImageFormat, on_image: Callable[[], None]
) -> list[dict[str, str | None]]:
    """Write the pictures that are not there yet, and return a row for each galaxy, in order."""
    from galvote.images.store import available_cores

    rows = list[dict[str, str | None]]()
    waiting = deque[Future[dict[str, str | None]]]()
    workers = max(available_cores(), 4)  # a service is waited for, whatever the number of cores

    def take() -> None:
        rows.append(waiting.popleft().result())
        on_image()

    pool = ThreadPoolExecutor(workers)
    try:
        for source in sources:
            waiting.append(pool.submit(_write_image, source, out, pixels, format_))
            if len(waiting) >= 4 * workers:
                take()
        while waiting:
            take()
    finally:
        pool.shutdown(cancel_futures=True)  # whoever stops it waits for those in work only
    return rows


def _write_image(source: Source, out: Path, pixels: int, format_: ImageFormat) -> dict[str, str | None]:
    """Write one picture unless it is there, and return its columns of the catalogue."""
    from galvote.errors import ImageError

    # Ids may hold what names of files may not; quoted, they stay different from one another.
    path = out / f"{quote(source.id, safe=' +')}.{format_}"
    if not path.exists():
        try:
            image = _encode(source, pixels, format_)
        except ImageError as error:
            return {"source": None, "status": error.status, "reason": error.reason}
        except OSError as error:
            return {"source": None, "status": "missing", "reason": f"The file cannot be read ({error})."}
        _write_whole(path, image)
    return {"source": path.name, "status": "ok", "reason": ""}


def _encode(source: Source, pixels: int, format_: ImageFormat) -> bytes:
    """Return the bytes of a galaxy's picture; a survey's JPEG stays as it came if it can."""
    import cv2
    import simplejpeg

    from galvote.images import FRAME_WIDTH, Geometry, decode_image, to_cutout

    data = source.read()
    if isinstance(data, tuple) and format_ is ImageFormat.jpg and pixels == FRAME_WIDTH:
        return data[0]
    frame = Geometry(field_of_view=FRAME_WIDTH, pixels=pixels)
    rgb = to_cutout(decode_image(data), frame, field_of_view=FRAME_WIDTH)
    if format_ is ImageFormat.png:
        return bytes(cv2.imencode(".png", rgb[:, :, ::-1])[1])
    return bytes(simplejpeg.encode_jpeg(rgb, quality=_QUALITY, colorspace="RGB"))


def _to_table(positions: Positions, rows: list[dict[str, str | None]]) -> pa.Table:
    import pyarrow as pa

    columns = {
        "id": pa.array(positions.ids, pa.string()),
        "source": pa.array([row["source"] for row in rows], pa.string()),
        **{name: pa.array(getattr(positions, name), from_pandas=True) for name in ("ra", "dec", "r90")},
        **{name: pa.array([row[name] for row in rows], pa.string()) for name in ("status", "reason")},
    }
    return pa.table(columns)


def _write_whole(path: Path, data: bytes) -> None:
    try:
        from galvote.io.atomic import atomic_file

        with atomic_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise CatalogueError(
            f"{path} cannot be written ({error.strerror}). Make room, then run the same command again: what "
            "is there stays."
        ) from error
