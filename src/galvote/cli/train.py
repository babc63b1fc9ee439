"""`galvote train`: train a recipe on a folder of galaxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.images import PackedStore
    from galvote.io import Sources
    from galvote.training import Recipe, TrainingData, World


def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")],
    images: Annotated[
        list[Path],
        typer.Option(help="Pictures: folder, files, Parquet or a packed store; may be given again."),
    ],
    votes: Annotated[
        list[Path], typer.Option(help="Table of votes, all 37 columns or some of them; may be given again.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    classes: Annotated[
        Path | None, typer.Option(help="Table of ids and hard classes, for recipes that learn from them too.")
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            help="Table of ids with a column `split` (train, validation); without it, a random split. "
            "A column `sample` says `complete` for galaxies that were not chosen by their votes."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given again."
        ),
    ] = None,
    field_of_view: Annotated[
        float | None,
        typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame)."),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="GPUs, or processes without one, that share each batch on a machine.")
    ] = 1,
    machines: Annotated[
        int, typer.Option(min=1, help="How many machines; torchrun or SLURM starts the command on each.")
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out votes that cannot be true instead of stopping.")
    ] = False,
) -> None:
    """Train a network: curves, metrics, checkpoint and models stand in the run folder as it goes.

    Stop it at any moment (Ctrl-C, kill -9) and go on with --resume: the result is the same.
    """
    from galvote.training import launch, load_recipe

    chosen = load_recipe(recipe, set_ or [])
    with launch(devices, machines) as world:
        _train(
            chosen,
            world,
            images,
            votes,
            classes,
            splits,
            out,
            field_of_view=field_of_view,
            skip_invalid=skip_invalid,
            resume=resume,
            overwrite=overwrite,
        )


def _train(
    recipe: Recipe,
    world: World,
    images: Sequence[Path],
    votes: Sequence[Path],
    classes: Path | None,
    splits: Path | None,
    out: Path,
    *,
    field_of_view: float | None,
    skip_invalid: bool,
    resume: bool,
    overwrite: bool,
) -> None:
    from galvote.cli.progress import plain_console
    from galvote.training import STORE, refuse_taken, train

    console = plain_console(quiet=not world.is_rank_zero)
    with world.rank_zero_first():
        if world.is_rank_zero:
            refuse_taken(out, resume=resume, overwrite=overwrite)
        data, hashes = load_training_data(
            recipe,
            images,
            votes,
            classes,
            splits,
            field_of_view=field_of_view,
            skip_invalid=skip_invalid,
            store=out / STORE,
            overwrite=overwrite and world.is_rank_zero,
            console=console,
        )
    console.print(describe(data), soft_wrap=True)

    def report(recipe: Recipe, epoch: int, measured: Mapping[str, float]) -> None:
        console.print(
            f"epoch {epoch:3d}/{recipe.training.epochs}"
            f"  training loss {measured['training_loss']:.5f} RMSE {measured['training_rmse']:.4f}"
            f"  validation loss {measured['validation_loss']:.5f} RMSE {measured['validation_rmse']:.4f}",
            soft_wrap=True,
        )

    try:
        best = train(
            recipe,
            data,
            out,
            resume=resume,
            overwrite=overwrite,
            on_epoch=report,
            console=console,
            hashes=hashes,
            world=world,
        )
    except KeyboardInterrupt:
        console.print(
            f"Stopped. The same command with --resume goes on from the last epoch in {out}.", soft_wrap=True
        )
        raise
    console.print(
        f"Best model: {best}\nCurves: {out / 'loss.png'}, {out / 'rmse.png'}\nLast model: {out / 'last'}",
        soft_wrap=True,
    )


def load_training_data(
    recipe: Recipe,
    images: Sequence[Path],
    votes: Sequence[Path],
    classes: Path | None,
    splits: Path | None,
    *,
    field_of_view: float | None,
    skip_invalid: bool,
    store: Path,
    overwrite: bool,
    console: Console,
) -> tuple[TrainingData, dict[str, str]]:
    """Read what a run learns from; pictures that are not packed yet are packed first, into ``store``.

    Returns
    -------
    The data, and the SHA-256 of each table by its name, with folders where two have the same.
    """
    import hashlib

    from galvote.labels import read_labels, read_votes
    from galvote.training import gather_examples

    known = read_votes(votes, skip_invalid=skip_invalid)
    data = gather_examples(
        recipe,
        _open_store(recipe, images, store, field_of_view=field_of_view, overwrite=overwrite, console=console),
        known,
        classes=read_labels(classes) if classes else None,
        splits=read_labels(splits, "split") if splits else None,
        samples=_read_samples(splits),
    )
    tables = [*votes, *(path for path in (classes, splits) if path is not None)]
    return data, {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _name_apart(tables).items()
    }


def _name_apart(paths: Sequence[Path]) -> dict[str, Path]:
    """Return paths by their names, with as many of their folders as tell them from the others."""

    def name(path: Path) -> str:
        for depth in range(1, len(path.parts)):
            tail = path.parts[-depth:]
            if all(other == path or other.parts[-depth:] != tail for other in paths):
                return str(Path(*tail))
        return str(path)

    return {name(path): path for path in paths}


def _read_samples(splits: Path | None) -> dict[str, str] | None:
    """Return how each galaxy was chosen, if the table of splits says so."""
    from galvote.io import read_table
    from galvote.labels import read_labels

    if splits is None or "sample" not in read_table(splits).column_names:
        return None
    return read_labels(splits, "sample")


def describe(data: TrainingData) -> str:
    """Say how many galaxies are learned from, watched and left out."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in data.left_out.items() if count)
    return (
        f"{len(data.training)} galaxies to learn from ({data.training.complete} with every column, "
        f"{int((data.training.classes >= 0).sum())} with a class), {len(data.validation)} to validate with"
        + (f"; left out: {left_out}" if left_out else "")
        + (f"; {len(data.store.failures)} pictures could not be read" if data.store.failures else "")
    )


def _refuse_other_images(
    store: PackedStore, place: Path, listed: Sources, field_of_view: float | None
) -> None:
    """Raise an error if a run's store was packed from other pictures, or with another `--field-of-view`."""
    from galvote.errors import CatalogueError

    again = f"choose another --out, or delete {place} to have it packed again."
    ids = {*store.ids, *(failed for failed, _, _ in store.failures)}
    # A store of an earlier version does not know its listing.
    if ids != set(listed.ids) or store.sources_sha256 not in (None, listed.digest()):
        raise CatalogueError(
            f"{place} was packed from other pictures, or from another path to them; name those again as "
            f"then, {again}"
        )
    if store.field_of_view != field_of_view:
        then, now = (
            "no --field-of-view" if width is None else f"--field-of-view {width:g}"
            for width in (store.field_of_view, field_of_view)
        )
        raise CatalogueError(
            f"{place} was packed with {then}, and now there is {now}; give the same, {again}"
        )


def _open_store(
    recipe: Recipe,
    images: Sequence[Path],
    place: Path,
    *,
    field_of_view: float | None,
    overwrite: bool,
    console: Console,
) -> PackedStore:
    from galvote.cli.pack import pack_with_progress
    from galvote.errors import CatalogueError
    from galvote.images import PackedStore, is_store
    from galvote.io import list_sources

    if len(images) == 1 and is_store(images[0]):
        store = PackedStore.open(images[0])
    else:
        listed = list_sources(images)
        if is_store(place) and not overwrite:
            store = PackedStore.open(place)
            _refuse_other_images(store, place, listed, field_of_view)
        else:
            store = pack_with_progress(
                listed,
                place,
                recipe.cutout,
                field_of_view=field_of_view,
                overwrite=overwrite,
                console=console,
            )
    if store.geometry != recipe.cutout:
        raise CatalogueError(
            f"The store has {store.geometry.field_of_view:g} r90 on {store.geometry.pixels} pixels, "
            f"the recipe wants {recipe.cutout.field_of_view:g} on {recipe.cutout.pixels}: pack again with "
            f"--cutout-field-of-view {recipe.cutout.field_of_view:g} --pixels {recipe.cutout.pixels}."
        )
    return store
