"""From a user's labels and pictures to a model, with numbers that hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from galvote.errors import ModelError, require_learners
from galvote.finetuning.labels import read_labelled
from galvote.finetuning.result import Finetuned
from galvote.inference.predictor import Predictor, Scale, Settings
from galvote.io.atomic import refuse_existing, write_whole
from galvote.models import CARD, find_model
from galvote.models.card import GRAPH, file_sha256
from galvote.report import PAGE

Place = str | Path


def finetune(
    model: Place,
    images: Place | Sequence[Place],
    labels: Place | Sequence[Place],
    out: Place,
    *,
    tree: Place | None = None,
    column: str | None = None,
    unit: str | None = None,
    views: int = 2,
    scale: Scale | None = None,
    field_of_view: float | None = None,
    bands: str | None = None,
    stretch: str = "lupton",
    backend: str | None = None,
    overwrite: bool = False,
    id_column: str | None = None,
    skip_invalid: bool = False,
    report: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Finetuned:
    """Teach a trained model a user's own labels.

    Its encoder looks at the pictures, and a regularised linear head learns the labels. Each galaxy is also
    predicted by a head that did not learn from it: these predictions are scored, and calibrate the model.

    Parameters
    ----------
    model
        Name of a shipped model, or the folder of a saved one, to begin with.
    images
        Places of the galaxies' images; see `galvote.io.list_sources`. Some of those without a label tell how
        features are spread.
    labels
        Tables of labels, as `galvote.labels.read_votes` takes them: a column of classes, or fractions or
        counts of a tree, or a column of numbers.
    out
        Folder for the model; there are also ``index.html``, ``out_of_fold.csv`` and
        ``scores.json``.
    tree
        Name or file of the labels' tree; if not given, a shipped one whose columns they have, or one of the
        classes.
    column
        Name of the column of classes or numbers, if the table has several.
    unit
        Unit of the numbers, as astropy writes it (``kpc``), empty for a pure number; with it, a column of
        whole numbers never holds classes.
    views
        In how many orientations each picture is looked at.
    scale, field_of_view, bands, stretch
        How pictures are shown, as for `galvote.Predictor.predict`; the model is to be used in the same way.
    backend
        What computes features, as for `galvote.load`.
    overwrite
        Replace a model in `out`.
    id_column
        Name of the column of ids in the tables, if it is none of the usual ones.
    skip_invalid
        Leave out labels that cannot be true instead of raising an error.
    report
        Is told, in sentences, what was understood and what was left out.
    on_progress
        Called with how many pictures are looked at, and how many there are.

    Returns
    -------
    Where the model is, and how well it does on galaxies that it did not learn from.

    Raises
    ------
    CatalogueError
        If labels cannot be read, are constant, have fewer than ten galaxies of a class, or name a galaxy
        twice.
    ModelError
        If there is no such model, it has no graph, or a package is missing.
    OutputError
        If there is a model in `out`.
    """
    require_learners("Learning labels")
    from galvote.finetuning.learning import gather, learn_head
    from galvote.finetuning.page import draw_page
    from galvote.finetuning.writing import write

    parent, out = find_model(model), Path(out)
    if not (parent / GRAPH).is_file():
        raise ModelError(f"{parent} has no {GRAPH}; write it with: galvote export --model {parent}")
    refuse_existing(out / CARD, overwrite=overwrite)
    predictor = Predictor.load(parent, backend)
    settings = Settings(field_of_view=field_of_view, bands=bands, stretch=stretch, scale=scale)
    matched, pictures = read_labelled(
        images,
        labels,
        tree=tree,
        column=column,
        unit=unit,
        look=settings.look,
        id_column=id_column,
        skip_invalid=skip_invalid,
        report=report,
    )
    if remark := predictor.check_scale(matched.sources, settings):
        report(remark)
    data = gather(predictor, pictures, matched.votes, views, settings, report, on_progress)
    files = [labels] if isinstance(labels, str | Path) else labels
    about = {
        "galaxies": len(data.votes),
        "labels_without_picture": matched.votes_without_image,
        "pictures_without_label": matched.images_without_votes,
        "labels_sha256": data.votes.digest(),
        "ids_sha256": sha256("\n".join(sorted(data.votes.ids)).encode()).hexdigest(),
        "files_sha256": {Path(file).name: file_sha256(Path(file)) for file in files if Path(file).is_file()},
        "pretrained": {"name": predictor.card.name, "sha256": predictor.card.weights_sha256},
    }
    recipe = {
        "mode": "head",
        "views": views,
        "scale": scale if isinstance(scale, str | None) else "sizes",
        "field_of_view": field_of_view,
        "bands": bands,
        "stretch": stretch,
    }
    learned = learn_head(predictor, data)
    page = draw_page(learned, out.name, predictor, pictures, settings)
    found = write(learned, parent, predictor.card, out, about, recipe)
    write_whole(out / PAGE, page)
    return found
