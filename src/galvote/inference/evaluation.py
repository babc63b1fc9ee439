"""Score a model, or a table of predictions, against the volunteers' votes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from galvote.errors import CatalogueError, GalvoteError, ImageError
from galvote.images import COMPACT, FRAME_WIDTH, Geometry, decode_cutout
from galvote.inference.listing import Place
from galvote.inference.prediction import Prediction
from galvote.inference.predictor import Predictor, load_predictor
from galvote.inference.scored import (
    match_predictions,
    read_predictions,
    read_votes_of,
    refuse_other_tree,
)
from galvote.inference.settings import OnProgress, Scale
from galvote.io import Sources, list_sources, read_table
from galvote.io.bands import Bands, Look
from galvote.io.columns import one_has
from galvote.io.positions import positions_of
from galvote.labels import Votes, match_ids, read_labels, read_votes
from galvote.metrics import Comparison, column_means, score
from galvote.report import CURVES, best_and_worst, write_report
from galvote.trees import DecisionTree, load_tree


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How far predictions are from the volunteers' votes.

    Parameters
    ----------
    title
        What was scored.
    scores
        As `galvote.metrics.score` returns them; ``coverage`` also has the ``level`` of the intervals, in (0,
        1), ``None`` if unknown.
    compared, ids
        The predictions and votes that were scored, and whose they are.
    left_out
        How many predictions and votes were not scored, by reason.
    remarks
        Sentences that a reader of the scores must know.
    sources, field_of_view
        Images that a report may show, and their width in r90.
    curves
        Figures of the model's training run.
    """

    title: str
    scores: Mapping[str, Any]
    compared: Comparison
    ids: tuple[str, ...]
    left_out: Mapping[str, int]
    remarks: tuple[str, ...] = ()
    sources: Sources | None = None
    field_of_view: float | None = None
    curves: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the scores, ``left_out`` and ``remarks`` as plain data for JSON."""
        return {**self.scores, "left_out": dict(self.left_out), "remarks": list(self.remarks)}

    def write_report(self, folder: Place, *, overwrite: bool = False) -> Path:
        """Write ``index.html``, with the best and worst galaxies, and ``scores.json``, and return the page.

        Parameters
        ----------
        folder
            Where they go; made if it is not there.
        overwrite
            Replace a report that is there.

        Raises
        ------
        OutputError
            If there is a report already.
        """
        return write_report(
            Path(folder),
            self.to_dict(),
            self.compared,
            self.ids,
            self._read_images(),
            curves=self.curves,
            title=self.title,
            overwrite=overwrite,
        )

    def _read_images(self) -> dict[str, UInt8[np.ndarray, "y x 3"]]:
        """Return the images of the galaxies that the report shows; those that cannot be read are absent."""
        images = {}
        rows = np.concatenate(best_and_worst(self.compared.predicted, self.compared.actual)).tolist()
        for source in self.sources.select({self.ids[row] for row in rows}) if self.sources else ():
            width = source.field_of_view or self.field_of_view
            # The central part of a GZ2 frame, at its own resolution
            shown = Geometry(field_of_view=min(COMPACT.field_of_view, width or FRAME_WIDTH), pixels=256)
            with suppress(OSError, ImageError):
                images[source.id] = decode_cutout(source.read(), shown, width)
        return images


def evaluate(
    votes: Votes | Place | Sequence[Place],
    *,
    predictions: Prediction | Place | None = None,
    model: Predictor | Place | None = None,
    images: Place | Sequence[Place] | None = None,
    tree: DecisionTree | Place | None = None,
    splits: Place | None = None,
    split: str | None = None,
    tta: int = 1,
    level: float | None = None,
    field_of_view: float | None = None,
    bands: Bands | None = None,
    stretch: str = "lupton",
    scale: Scale | None = None,
    backend: str | None = None,
    id_column: str | None = None,
    recursive: bool = False,
    dataset: str | None = None,
    skip_invalid: bool = False,
    report: Callable[[str], None] = lambda sentence: None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Score predictions, or a model, against volunteers' votes and return the scores.

    Parameters
    ----------
    votes
        Tables of votes, or what `galvote.labels.read_votes` returned. One without ids is matched, by position
        within an arcsecond, with the tables of predictions or images.
    predictions
        A table of predictions, or what a predictor returned; instead of `model`.
    model
        Name of a shipped model, a folder, an exported file, or a predictor; it predicts `images`.
    images
        Places of images. With `predictions` they are only for `Evaluation.write_report`.
    tree
        The tree of a table of predictions, its name or its file; by default that whose columns it has, a
        shipped one or that of the classes in `votes`. A model has its own.
    splits, split
        A table with a column ``split``, and the split to be scored. The mean predictor says the mean votes of
        the split ``train``.
    tta, level, field_of_view, bands, stretch, scale
        As for `Predictor.predict`, which `model` is asked.
    backend
        As for `galvote.load`.
    id_column
        Column of ids in those tables that have it; in others the usual names are looked for.
    recursive, dataset
        As for `galvote.io.list_sources`.
    skip_invalid
        Leave out galaxies whose votes cannot be true, instead of raising an error.
    report
        Is told, in sentences, what a user must know.
    on_progress
        Called with how many images are predicted, and how many there are.

    Raises
    ------
    GalvoteError
        If neither or both of `predictions` and `model` are given, or another argument that they need is not.
    TreeError
        If the votes, or `tree`, are of another tree than the predictions.
    CatalogueError
        If a table cannot be read, predicts a galaxy twice, or no galaxy has both votes and a prediction.
    """
    tree = None if tree is None else load_tree(tree)
    asked = {"tta": tta != 1} | {
        name: value is not None for name, value in (("level", level), ("scale", scale), ("backend", backend))
    }
    if not images:  # of which a report shows some
        looks = {"bands": bands is not None, "stretch": stretch != "lupton"}
        asked |= {"field_of_view": field_of_view is not None, **looks}
    given = [name for name, is_given in asked.items() if is_given]
    _refuse_ambiguity(predictions, model, images, given, splits, split)
    predictor = None if model is None else load_predictor(model, backend)
    tables = [] if images is None else [images] if isinstance(images, str | Path) else [*images]
    tables += [predictions] if isinstance(predictions, str | Path) else []
    with one_has(id_column):
        sources = None
        if images:
            look = Look.of(bands, stretch)
            sources = list_sources(
                images, id_column=id_column, dataset=dataset, recursive=recursive, look=look
            )
            report(f"{sources.describe()}.")
        if predictor is None:
            predicted, title = _open_predictions(predictions, tree, votes, id_column, report)
            own = predicted.tree
        else:
            own, title = predictor.tree, f"{predictor.card.name}, {tta} orientation{'s' if tta > 1 else ''}"
            refuse_other_tree(tree, own, "The tree that was named")
        where = positions_of(tables, id_column=id_column)
        known = read_votes_of(
            own, votes, skip_invalid=skip_invalid, id_column=id_column, reference=where, report=report
        )
        wanted, mean = (known, None) if splits is None else _choose_split(known, splits, split, id_column)
    if predictor is not None and sources is not None:
        predicted = predictor.predict(
            match_ids(wanted, sources).sources,
            tta=tta,
            field_of_view=field_of_view,
            level=level,
            scale=scale,
            report=lambda remark: None,  # it is among the remarks
            on_progress=on_progress,
        )
    rows, vote_rows, left_out = match_predictions(predicted, wanted, known.ids)
    matched, scored = predicted[np.array(rows)], wanted.select(np.array(vote_rows))
    compared, scores = _compare(matched, scored, mean)
    if predictor is not None and sources is not None:
        left_out["images_without_votes"] = len(set(sources.ids) - set(known.ids))
    return Evaluation(
        title=title if split is None else f"{title}, split {split}",
        scores=scores,
        compared=compared,
        ids=matched.ids,
        left_out=left_out,
        remarks=_remarks(predictor, scored, predicted),
        sources=sources,
        field_of_view=field_of_view,
        curves=_curves(predictor),
    )


def _compare(
    predicted: Prediction, votes: Votes, mean: Float[np.ndarray, " answer"] | None
) -> tuple[Comparison, dict[str, Any]]:
    """Return predictions beside the votes on the same galaxies, and their scores."""
    if mean is not None and np.isnan(mean[np.isfinite(votes.fractions).any(axis=0)]).any():
        mean = None  # a column without training votes
    compared = Comparison(
        predicted.tree, predicted.fractions, votes.fractions, mean, predicted.low, predicted.high
    )
    scores = score(compared)
    if "coverage" in scores:
        scores["coverage"]["level"] = predicted.level
    return compared, scores


def _refuse_ambiguity(
    predictions: object, model: object, images: object, asked: list[str], splits: object, split: object
) -> None:
    wrong = ""
    if (predictions is None) == (model is None):
        wrong = "Give either --predictions, or --model with --images (predictions=; model=, images=)."
    elif model is not None and not images:
        wrong = "--model needs --images (images=): what it is to predict."
    elif model is None and asked:
        options = ", ".join(f"--{name.replace('_', '-')} ({name}=)" for name in asked)
        wrong = f"{options}: this needs a model; predictions are made already."
    elif (splits is None) != (split is None):
        wrong = "--splits and --split (splits=, split=) go together."
    if wrong:
        raise GalvoteError(wrong)


def _open_predictions(
    predictions: Prediction | Place | None,
    tree: DecisionTree | None,
    votes: Votes | Place | Sequence[Place],
    id_column: str | None,
    report: Callable[[str], None],
) -> tuple[Prediction, str]:
    if isinstance(predictions, Prediction):
        refuse_other_tree(tree, predictions.tree, "The tree that was named")
        return predictions, "Predictions"
    assert predictions is not None
    try:
        found = read_predictions(Path(predictions), tree, id_column=id_column)
    except CatalogueError:
        # Of a user's own classes, the labels say what the columns mean.
        own = None
        with suppress(GalvoteError):
            own = votes.tree if isinstance(votes, Votes) else read_votes(votes, skip_invalid=True).tree
        if tree is not None or own is None or not {*own.columns} <= {*read_table(predictions).column_names}:
            raise
        found = read_predictions(Path(predictions), own, id_column=id_column)
    report(f"The predictions have the columns of the tree {found.tree.name}.")
    return found, Path(predictions).name


def _choose_split(
    votes: Votes, splits: Place, split: str | None, id_column: str | None
) -> tuple[Votes, Float[np.ndarray, " answer"] | None]:
    """Return the votes to score, and the mean votes of the training galaxies if those are known."""
    labels = read_labels(splits, column="split", id_column=id_column)
    own = np.array([labels.get(name, "") for name in votes.ids])
    if not (own == split).any():
        there = ", ".join(f"{name} ({count:,})" for name, count in Counter(labels.values()).most_common(10))
        raise CatalogueError(
            f"No galaxy with votes is in the split {split!r} of {splits}, which has: {there}."
        )
    training = own == "train"
    return votes.select(own == split), column_means(votes.fractions[training]) if training.any() else None


def _curves(predictor: Predictor | None) -> tuple[Path, ...]:
    """Return the figures beside a model that lies in a run folder."""
    if predictor is None or predictor.folder is None:
        return ()
    return tuple(path for name in CURVES if (path := predictor.folder.parent / name).is_file())


def _remarks(predictor: Predictor | None, scored: Votes, predicted: Prediction) -> tuple[str, ...]:
    remarks = [predicted.remark] if predicted.remark else []
    learned, measured = ({}, {}) if predictor is None else (predictor.card.data, predictor.card.calibration)
    if learned.get("labels_sha256") == scored.digest():
        remarks.append(
            "The model has learned these labels, so no score here is a test of it; its card has scores on "
            "galaxies that were left out."
        )
    if measured.get("galaxies_sha256") == scored.digest():
        remarks.append(
            "These galaxies calibrated the model's intervals, so the share of votes in their interval is no "
            "test of it; the model's card has one on held-out halves."
        )
    if predictor is not None and predictor.card.network.head == "sigmoid":
        remarks.append(
            "The model's independent sigmoids break the tree by design: each answer is predicted by itself, "
            "so a question's answers need not sum to the share of volunteers who were asked it. A softmax "
            "head divides that share, and cannot break the tree."
        )
    return tuple(remarks)
