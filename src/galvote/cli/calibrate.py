"""`galvote calibrate`: give a trained model intervals, and a flag for pictures unlike its galaxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from galvote.calibration import CrossFit
    from galvote.images import Geometry, PackedStore
    from galvote.inference import Predictor

_LEVELS = (0.5, 0.8, 0.9, 0.95)  # that are measured; all are calibrated
_FEWEST = 20
_BATCH = 256


def calibrate(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a folder.")],
    images: Annotated[
        list[Path],
        typer.Option(help="Pictures: folder, files, Parquet or a packed store; may be given again."),
    ],
    votes: Annotated[list[Path], typer.Option(help="Table of the volunteers' votes; may be given again.")],
    splits: Annotated[Path, typer.Option(help="Table of ids with a column `split`.")],
    out: Annotated[Path, typer.Option(help="Folder for a copy of the model with its calibration.")],
    split: Annotated[
        str, typer.Option(help="Galaxies with votes that the model was not trained on, to calibrate with.")
    ] = "validation",
    train_split: Annotated[
        str, typer.Option(help="Galaxies that it was trained on; of them only pictures are needed.")
    ] = "train",
    train_images: Annotated[
        int, typer.Option(min=1, help="How many of those are looked at, drawn at random.")
    ] = 3000,
    false_alarms: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of real galaxies that may be flagged as unlike.")
    ] = 0.015,
    tta: Annotated[int, typer.Option(min=1, help="Orientations averaged for each prediction.")] = 1,
    field_of_view: Annotated[
        float | None,
        typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame)."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model in the folder, which may be the same one.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out votes that cannot be true instead of stopping.")
    ] = False,
) -> None:
    """Calibrate a model on galaxies that it was not trained on.

    Its predictions then have intervals, and pictures unlike the galaxies that it was trained on are flagged.
    """
    from tempfile import TemporaryDirectory

    import numpy as np

    from galvote.calibration import Calibration, Intervals, OodDetector, cross_fit, measure_false_alarms
    from galvote.cli.progress import plain_console, progress_bar
    from galvote.errors import CatalogueError
    from galvote.inference import Predictor
    from galvote.io.atomic import refuse_existing
    from galvote.labels import read_labels, read_votes
    from galvote.models import CARD, find_model, save_calibrated

    if split == train_split:
        raise CatalogueError(
            f"The split {split!r} cannot be both what the model was trained on and what it was not: "
            "intervals from galaxies that it knows are too narrow. Name two splits, with --split and "
            "--train-split."
        )
    console = plain_console()
    saved = find_model(model)  # which an exported file is not
    predictor = Predictor.load(saved)
    refuse_existing(out / CARD, overwrite=overwrite)
    known, labels = read_votes(votes, skip_invalid=skip_invalid), read_labels(splits, "split")
    row_of = {galaxy: row for row, galaxy in enumerate(known.ids) if labels.get(galaxy) == split}
    training = {galaxy for galaxy, name in labels.items() if name == train_split}

    with TemporaryDirectory() as folder:
        store = _open_store(
            images,
            {*row_of, *training},
            predictor.geometry,
            field_of_view=field_of_view,
            folder=Path(folder),
            console=console,
        )
        held_out = [place for place, galaxy in enumerate(store.ids) if galaxy in row_of]
        trained_on = [place for place, galaxy in enumerate(store.ids) if galaxy in training]
        if min(len(held_out), len(trained_on)) < _FEWEST:
            raise CatalogueError(
                f"There are pictures of {len(held_out)} galaxies with votes in the split {split!r} of "
                f"{splits}, and of {len(trained_on)} in {train_split!r}; at least {_FEWEST} of each are "
                "needed, and some hundreds are better."
            )
        if len(trained_on) > train_images:
            drawn = np.random.default_rng(0).choice(trained_on, train_images, replace=False)
            trained_on = sorted(drawn.tolist())
        with progress_bar(console) as progress:
            bar = progress.add_task("predicting", total=len(held_out) + len(trained_on))

            def advance(done: int) -> None:
                progress.advance(bar, done)

            predicted, features = _predict(predictor, store, held_out, tta, advance)
            _, known_features = _predict(predictor, store, trained_on, 1, advance)
        actual = known.select(np.array([row_of[store.ids[place]] for place in held_out]))

    calibration = Calibration(
        Intervals.fit(predicted, actual.fractions),
        OodDetector.fit(known_features, features, false_alarms=false_alarms),
    )
    measured = cross_fit(predicted, actual.fractions, known.tree, _LEVELS)
    flagged, _ = measure_false_alarms(calibration.ood.distances(features), false_alarms)
    save_calibrated(
        saved,
        calibration,
        {
            "galaxies": len(actual),
            "train_pictures": len(trained_on),
            "tta": tta,
            "galaxies_sha256": actual.digest(),
            "what": "means over random halves of the galaxies, each measured after calibrating on the other",
            "levels": {f"{one.level:g}": _describe(one) for one in measured},
            "ood": {"aimed_at": false_alarms, "galaxies_flagged": round(flagged, 4)},
        },
        out,
    )
    _print(console, measured, flagged, len(actual))
    console.print(f"Calibrated model: {out}", soft_wrap=True)


def _open_store(
    images: Sequence[Path],
    wanted: set[str],
    geometry: Geometry,
    *,
    field_of_view: float | None,
    folder: Path,
    console: Console,
) -> PackedStore:
    """Open a packed store, or pack the wanted galaxies of other places into a folder."""
    from galvote.cli.pack import pack_with_progress
    from galvote.errors import CatalogueError
    from galvote.images import PackedStore, is_store
    from galvote.io import list_sources

    if len(images) == 1 and is_store(images[0]):
        store = PackedStore.open(images[0])
        if store.geometry != geometry:
            raise CatalogueError(
                f"The store has {store.geometry.field_of_view:g} r90 on {store.geometry.pixels} pixels, "
                f"the model wants {geometry.field_of_view:g} on {geometry.pixels}: "
                "name the pictures themselves."
            )
        return store
    listed = list_sources(images).select(wanted)
    return pack_with_progress(
        listed, folder / "store", geometry, field_of_view=field_of_view, console=console
    )


def _predict(
    predictor: Predictor,
    store: PackedStore,
    places: Sequence[int],
    tta: int,
    on_progress: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    found = []
    for start in range(0, len(places), _BATCH):
        part = places[start : start + _BATCH]
        found.append(predictor.predict_features(store.cutouts[part], tta))
        on_progress(len(part))
    fractions, features = zip(*found, strict=True)
    return np.concatenate(fractions), np.concatenate(features)


def _describe(one: CrossFit) -> dict[str, object]:
    from math import isfinite

    coverage = one.coverage
    return {
        "coverage": round(coverage.overall, 4),
        "spread": round(one.spread, 4),
        "mean_width": round(coverage.mean_width, 4),
        "questions": {name: round(share, 4) for name, share in coverage.questions.items() if isfinite(share)},
    }


def _print(console: Console, measured: Sequence[CrossFit], flagged: float, galaxies: int) -> None:
    from math import isfinite

    from rich.table import Table

    table = Table(
        "level",
        "votes in their interval",
        "questions, lowest to highest",
        "mean width",
        title=f"Calibrated on {galaxies:,} galaxies; measured on one half after calibrating on the other",
        title_justify="left",
    )
    for one in measured:
        # Questions without votes have no share.
        shares = [share for share in one.coverage.questions.values() if isfinite(share)]
        table.add_row(
            f"{one.level:.0%}",
            f"{one.coverage.overall:.1%} ± {one.spread:.1%}",
            f"{min(shares):.1%} to {max(shares):.1%}",
            f"{one.coverage.mean_width:.3f}",
        )
    console.print(table)
    console.print(f"{flagged:.1%} of these galaxies are flagged as unlike those that were trained on.")
