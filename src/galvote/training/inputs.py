"""What a run learns from, read from files; images that are not packed yet are packed first."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from galvote.errors import CatalogueError, RecipeError
from galvote.images import PackedStore, is_store, pack
from galvote.inference.settings import OnProgress
from galvote.io import Sources, list_sources, read_table
from galvote.io.columns import one_has
from galvote.io.positions import positions_of
from galvote.labels import Votes, read_labels, read_votes
from galvote.labels.reading import table_paths
from galvote.training.examples import TrainingData, gather_examples
from galvote.training.recipe import Recipe
from galvote.training.run_folder import say_nothing
from galvote.trees import DecisionTree, load_tree

Places = str | Path | Sequence[str | Path]
File = str | Path | None


class LabelFiles(NamedTuple):
    """What is known of galaxies, as files; see `train`."""

    votes: Places
    splits: File = None
    classes: File = None
    tree: File | DecisionTree = None
    id_column: str | None = None
    skip_invalid: bool = False


def read_training_data(
    recipe: Recipe,
    images: Places,
    labels: LabelFiles,
    store: Path,
    field_of_view: float | None = None,
    *,
    recursive: bool = False,
    dataset: str | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = say_nothing,
    on_progress: OnProgress | None = None,
) -> tuple[TrainingData, dict[str, str]]:
    """Read what a run learns from, as `train` takes it; images not packed yet are packed to ``store``.

    Beside the data it returns the SHA-256 of each table by its name, with folders where two have the same.
    """
    tables, places = table_paths(labels.votes), _paths(images)
    tree = load_tree(labels.tree) if labels.tree is not None else None
    splits, classes, id_column = labels.splits, labels.classes, labels.id_column
    with one_has(id_column):
        reference = positions_of(places, id_column=id_column)
        read = partial(read_votes, id_column=id_column, reference=reference)
        named = partial(read_labels, id_column=id_column, reference=reference)
        votes = read(tables, tree, skip_invalid=labels.skip_invalid, report=report)
        has_samples = splits is not None and "sample" in read_table(splits).column_names
        known = {
            "classes": named(classes, report=report) if classes is not None else None,
            "splits": named(splits, "split", report=report) if splits is not None else None,
            "samples": named(splits, "sample") if splits is not None and has_samples else None,
        }
        sources = list_sources(places, id_column=id_column, dataset=dataset, recursive=recursive)
        campaigns = dict[str, Votes]()
        for name, own in recipe.campaigns.items():
            if own.votes is None:
                raise RecipeError(
                    f"Give the table of the campaign {name}: --set campaigns.{name}.votes=TABLE"
                )
            its = load_tree(own.tree) if own.tree is not None else None
            campaigns[name] = read(own.votes, its, skip_invalid=labels.skip_invalid, report=report)
    opened = _open_store(recipe, places, sources, store, field_of_view, overwrite, on_progress)
    data = gather_examples(recipe, opened, votes, **known, campaigns=campaigns)
    further = (classes, splits, *(own.votes for own in recipe.campaigns.values()))
    tables += [Path(table) for table in further if table is not None]
    return data, {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _name_apart(tables).items()
    }


def _paths(places: Places) -> list[Path]:
    return [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]


def _name_apart(paths: Sequence[Path]) -> dict[str, Path]:
    """Return paths by their names, with as many of their folders as tell them from the others."""

    def name(path: Path) -> str:
        for depth in range(1, len(path.parts)):
            tail = path.parts[-depth:]
            if all(other == path or other.parts[-depth:] != tail for other in paths):
                return str(Path(*tail))
        return str(path)

    return {name(path): path for path in paths}


def _open_store(
    recipe: Recipe,
    places: Sequence[Path],
    sources: Sources,
    place: Path,
    field_of_view: float | None,
    overwrite: bool,
    on_progress: OnProgress | None,
) -> PackedStore:
    if len(places) == 1 and is_store(places[0]):
        store = PackedStore.open(places[0])
    elif is_store(place) and not overwrite:
        store = PackedStore.open(place)
        _refuse_other_images(store, place, sources, field_of_view)
    else:
        store = pack(
            sources,
            place,
            recipe.cutout,
            field_of_view=field_of_view,
            on_progress=on_progress and (lambda done, _: on_progress(done, len(sources))),
            overwrite=overwrite,
        )
    if store.geometry != recipe.cutout:
        raise CatalogueError(
            f"The store has {store.geometry.field_of_view:g} r90 on {store.geometry.pixels} pixels, "
            f"the recipe wants {recipe.cutout.field_of_view:g} on {recipe.cutout.pixels}: pack again with "
            f"--cutout-field-of-view {recipe.cutout.field_of_view:g} --pixels {recipe.cutout.pixels}."
        )
    return store


def _refuse_other_images(
    store: PackedStore, place: Path, sources: Sources, field_of_view: float | None
) -> None:
    """Raise an error if a run's store was packed from other images, or with another field of view."""
    again = f"choose another --out, or delete {place} to have it packed again."
    ids = {*store.ids, *(failed for failed, _, _ in store.failures)}
    # A store of an earlier version does not know its listing.
    if ids != set(sources.ids) or store.sources_sha256 not in (None, sources.digest()):
        raise CatalogueError(
            f"{place} was packed from other images, or from another path to them; name those again as "
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
