"""Predict from an image of a galaxy what Galaxy Zoo volunteers would say about it.

================  =======================================================================
`load`            a model, ready to predict: a `Predictor`, which gives a `Prediction`
`predict`         fractions of images, or of a catalogue of positions: a `Prediction`
`predict_table`   the same into a file, beside another catalogue if you like
`predict_shards`  the same into a folder, which an interrupted run goes on with
`find_field`      the galaxies of a wide image, classified: a `Field`
`write_field`     a field as an annotated image, a page and a catalogue
`cutouts`         images of a catalogue's galaxies, from a FITS image or a survey
`evaluate`        scores of a model or of predictions against votes: an `Evaluation`
`train`           a new model, by one of `list_recipes` or a recipe of your own
`finetune`        a model that has learned your own labels, and its scores: a `Finetuned`
`calibrate`       intervals and an out-of-distribution flag for a trained model
`export`          a model as one ONNX file
`example_images`  images of galaxies to try things with
`count_votes`     votes from a Zooniverse project's classifications: `Votes`
`load_tree`       a questionnaire as a `DecisionTree`, one of `list_trees` or your own
================  =======================================================================

What is raised on purpose is a `GalvoteError`, which says what to do.

Examples
--------
>>> import galvote
>>> prediction = galvote.load("galvote-small").predict(galvote.example_images("merger"))
>>> prediction.finding(0).kind.name
'merger'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galvote._version import __version__ as __version__
from galvote.errors import require_torch

if TYPE_CHECKING:
    from os import PathLike

    from galvote.errors import GalvoteError
    from galvote.examples import example_images
    from galvote.field import Field, find_field, write_field
    from galvote.finetuning import Finetuned, finetune
    from galvote.images.cutouts import cutouts
    from galvote.inference import Prediction, Predictor, Settings
    from galvote.inference.calibrate import calibrate
    from galvote.inference.evaluation import Evaluation, evaluate
    from galvote.inference.export import export
    from galvote.inference.predict import predict
    from galvote.inference.predict_shards import predict_shards
    from galvote.inference.predict_table import predict_table
    from galvote.io import Sizes
    from galvote.labels.zooniverse import count_votes
    from galvote.recipes import list_recipes
    from galvote.training import train
    from galvote.trees import DecisionTree, list_trees, load_tree
    from galvote.weights import list_models

__all__ = [
    "DecisionTree",
    "Evaluation",
    "Field",
    "Finetuned",
    "GalvoteError",
    "Prediction",
    "Predictor",
    "Settings",
    "Sizes",
    "calibrate",
    "count_votes",
    "cutouts",
    "evaluate",
    "example_images",
    "export",
    "find_field",
    "finetune",
    "list_models",
    "list_recipes",
    "list_trees",
    "load",
    "load_tree",
    "predict",
    "predict_shards",
    "predict_table",
    "train",
    "write_field",
]

_HOMES = {
    "DecisionTree": "galvote.trees",
    "Evaluation": "galvote.inference.evaluation",
    "Field": "galvote.field",
    "Finetuned": "galvote.finetuning",
    "GalvoteError": "galvote.errors",
    "Prediction": "galvote.inference",
    "Predictor": "galvote.inference",
    "Settings": "galvote.inference",
    "Sizes": "galvote.io",
    "calibrate": "galvote.inference.calibrate",
    "count_votes": "galvote.labels.zooniverse",
    "cutouts": "galvote.images.cutouts",
    "evaluate": "galvote.inference.evaluation",
    "example_images": "galvote.examples",
    "export": "galvote.inference.export",
    "find_field": "galvote.field",
    "finetune": "galvote.finetuning",
    "list_models": "galvote.weights",
    "list_recipes": "galvote.recipes",
    "list_trees": "galvote.trees",
    "load_tree": "galvote.trees",
    "predict": "galvote.inference.predict",
    "predict_shards": "galvote.inference.predict_shards",
    "predict_table": "galvote.inference.predict_table",
    "train": "galvote.training",
    "write_field": "galvote.field",
}
"""Where each name is defined: it is imported when first used, so that `import galvote` loads no torch."""


def load(name: str | PathLike[str], backend: str | None = None) -> Predictor:
    """Return a model that is ready to predict.

    Parameters
    ----------
    name
        Name of a shipped model such as ``galvote-small``, the folder of a saved model or a finished run, or a
        file that `galvote export` wrote.
    backend
        What computes: ``onnx``, ``openvino``, ``torch`` (in bfloat16 where that is fast), ``torch-float32``
        or ``auto``, the fastest here, if not given.

    Raises
    ------
    ModelError
        If there is no such model, it is damaged, or the backend cannot compute it here.
    """
    from galvote.inference import Predictor

    return Predictor.load(name, backend)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'galvote' has no attribute {name!r}")
    try:
        home = import_module(_HOMES[name])
    except ModuleNotFoundError:
        require_torch(f"galvote.{name}")
        raise
    return getattr(home, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
