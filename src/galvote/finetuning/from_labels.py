"""From a user's labels and images to a model, with numbers that hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from galvote.errors import GalvoteError, ModelError, require_learners, require_torch
from galvote.finetuning.features import cut_out
from galvote.finetuning.labels import read_labelled
from galvote.finetuning.result import Finetuned, Score
from galvote.inference.listing import Place
from galvote.inference.predictor import Predictor
from galvote.inference.settings import OnProgress, Scale, Settings
from galvote.io.atomic import refuse_existing
from galvote.models import CARD, find_model
from galvote.models.card import GRAPH, file_sha256
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from galvote.finetuning.learning import Data, HeadFit
    from galvote.finetuning.whole import Trained
    from galvote.images import PackedStore
    from galvote.labels import Match

Asked = Literal["auto", "head", "full"]

_ALONE = "A head alone is learned"


def finetune(
    model: Place,
    images: Place | Sequence[Place],
    labels: Place | Sequence[Place],
    out: Place,
    *,
    mode: Asked = "auto",
    budget: float | None = None,
    settings: Sequence[str] = (),
    tree: Place | DecisionTree | None = None,
    column: str | None = None,
    unit: str | None = None,
    tta: int = 2,
    scale: Scale | None = None,
    field_of_view: float | None = None,
    bands: str | None = None,
    stretch: str = "lupton",
    backend: str | None = None,
    overwrite: bool = False,
    id_column: str | None = None,
    skip_invalid: bool = False,
    report: Callable[[str], None] = lambda sentence: None,
    on_progress: OnProgress | None = None,
) -> Finetuned:
    """Teach a trained model a user's own labels.

    Its encoder looks at the images, and a regularised linear head learns the labels; all weights may learn
    then. Each galaxy is also predicted by a model that did not learn from it: these predictions are scored,
    and calibrate the model.

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
    mode
        ``head``: the encoder stays as it is. ``full``: the whole network is trained, by the recipe
        ``finetune``, which needs torch. ``auto``: both, if `budget` allows it, and that with the lower log
        loss on galaxies that were left out is kept.
    budget
        Minutes that training the whole network may take, as its first steps tell. Without one ``auto`` is
        ``head``, and ``full`` takes as long as it takes; stopped, the same call goes on with it.
    settings
        Changes to the recipe ``finetune``, such as ``training.epochs=5``.
    tree
        The labels' tree, its name or its file; if not given, a shipped one whose columns they have, or one of
        the classes.
    column
        Name of the column of classes or numbers, if the table has several.
    unit
        Unit of the numbers, as astropy writes it (``kpc``), empty for a pure number; with it, a column of
        whole numbers never holds classes.
    tta
        In how many orientations, and sizes, the features of each image are computed to learn from.
    scale, field_of_view, bands, stretch
        How images are shown, as for `galvote.Predictor.predict`; the model is to be used in the same way.
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
        Called with how much is done and how much there is: images that are looked at, then steps of
        training.

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
    GalvoteError
        If there is no such mode or setting, `budget` is not above 0, `settings` or `budget` are given for a
        head, or ``full`` would take longer than `budget`.
    """
    settings = [settings] if isinstance(settings, str) else settings
    asked = _is_training_asked(mode, budget, settings, report)
    require_learners("Learning labels")
    from threadpoolctl import threadpool_limits

    from galvote.finetuning.learning import compare, fit_heads, gather, judge
    from galvote.finetuning.whole import WORK
    from galvote.finetuning.writing import draw_page, write

    parent, out = find_model(model), Path(out)
    if not (parent / GRAPH).is_file():
        raise ModelError(f"{parent} has no {GRAPH}; write it with: galvote export --model {parent}")
    refuse_existing(out / CARD, overwrite=overwrite)
    predictor = Predictor.load(parent, backend)
    shown = Settings(field_of_view=field_of_view, bands=bands, stretch=stretch, scale=scale)
    matched, pictures = read_labelled(
        images,
        labels,
        tree=tree,
        column=column,
        unit=unit,
        look=shown.look,
        id_column=id_column,
        skip_invalid=skip_invalid,
        report=report,
    )
    if remark := predictor.preprocessor.check_scale(matched.sources, shown):
        report(remark)
    data = gather(predictor, pictures, matched.votes, tta, shown, report, on_progress)
    with threadpool_limits(1):  # heads are small: several threads wait for each other longer than they work
        fitted = fit_heads(data, parent)
    trained, gains, comparison = None, dict[str, Score](), ""
    if asked:
        cutouts = partial(cut_out, predictor, pictures, data.votes.ids, shown)
        begun = parent, cutouts, data, fitted
        trained = _train_whole(mode, out, begun, settings, budget, report, on_progress)
    kept = trained
    if trained is not None:
        gains, comparison = compare(data, fitted, trained)
        if mode == "auto":
            kept = trained if gains["log_loss"].value < 0 else None
            comparison += f" {'The whole network' if kept else 'A head alone'} is kept."
        report(comparison)
    with threadpool_limits(1):
        learned = judge(predictor, parent, data, fitted, kept)
    learned = replace(learned, result=replace(learned.result, gains=gains, comparison=comparison))
    page = draw_page(learned, out.name, predictor, pictures, shown)
    about = _describe_data(data, matched, labels, predictor)
    found = write(learned, predictor.card.name, out, page, about, _describe_images(tta, shown))
    if trained is not None:
        shutil.rmtree(out / WORK, ignore_errors=True)
    return found


def _is_training_asked(
    mode: Asked, budget: float | None, settings: Sequence[str], report: Callable[[str], None]
) -> bool:
    """Tell whether the whole network is to be trained, and say why not if that might be wanted."""
    if mode not in ("auto", "head", "full"):
        raise GalvoteError(f'There is no mode {mode!r}: it is "auto", "head" or "full".')
    if budget is not None and not budget > 0:
        raise GalvoteError(f"--budget (budget=) is in minutes, more than 0; {budget:g} is not.")
    if mode == "full":
        require_torch("Training the whole network")
    if (settings or budget is not None) and (mode == "head" or (mode == "auto" and budget is None)):
        raise GalvoteError(
            "--set and --budget (settings=, budget=) are of training the whole network, which is not asked "
            "for: add --mode full, or --budget and no --mode."
        )
    if mode == "auto" and budget is None:
        report(f"{_ALONE}; a --budget (budget=) of some minutes lets the whole network be tried as well.")
        return False
    if mode == "auto" and find_spec("torch") is None:
        report(f"{_ALONE}: training the whole network needs PyTorch: pip install 'galvote[train]'")
        return False
    return mode != "head"


def _train_whole(
    mode: Asked,
    out: Path,
    begun: tuple[Path, Callable[[], PackedStore], Data, HeadFit],
    settings: Sequence[str],
    budget: float | None,
    report: Callable[[str], None],
    on_progress: OnProgress | None,
) -> Trained | None:
    """Train the whole network in a folder within `out`; None if ``auto`` finds that it takes too long."""
    from galvote.finetuning.whole import WORK, OverBudgetError, train_network

    (parent, cutouts, data, fitted), work = begun, out / WORK
    known = data.votes, fitted.known, fitted.heads, fitted.found
    train = partial(train_network, report=report, on_progress=on_progress)
    try:
        return train(parent, cutouts(), *known, work, settings=settings, budget=budget)
    except KeyboardInterrupt:
        report(f"Stopped. The same command goes on with the training, which is kept in {work}.")
        raise
    except OverBudgetError as error:
        for folder in (work, out):
            with suppress(OSError):  # it holds something
                folder.rmdir()
        if mode == "full":
            raise
        report(f"{_ALONE}: {error.reason}.")
        return None


def _describe_data(
    data: Data, matched: Match, labels: Place | Sequence[Place], predictor: Predictor
) -> dict[str, Any]:
    """Return what the model's card says it was made from."""
    files = [Path(file) for file in ([labels] if isinstance(labels, str | Path) else labels)]
    return {
        "galaxies": len(data.votes),
        "labels_without_image": matched.votes_without_image,
        "images_without_label": matched.images_without_votes,
        "labels_sha256": data.votes.digest(),
        "ids_sha256": sha256("\n".join(sorted(data.votes.ids)).encode()).hexdigest(),
        "files_sha256": {file.name: file_sha256(file) for file in files if file.is_file()},
        "pretrained": {"name": predictor.card.name, "sha256": predictor.card.weights_sha256},
    }


def _describe_images(tta: int, shown: Settings) -> dict[str, Any]:
    """Return what the card says of how images were shown, so that others are shown alike."""
    return {
        "tta": tta,
        "scale": shown.scale if isinstance(shown.scale, str | None) else "sizes",
        "field_of_view": shown.field_of_view,
        "bands": shown.bands,
        "stretch": shown.stretch,
    }
