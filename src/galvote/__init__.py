"""galvote: from a picture of a galaxy to the votes of a crowd.

Examples
--------
>>> import galvote
>>> predictor = galvote.load("galvote-small")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

    from galvote.errors import GalvoteError
    from galvote.inference import Predictor
    from galvote.inference.evaluation import Evaluation, evaluate
    from galvote.trees import DecisionTree, load_tree

__version__ = "0.2.0"
__all__ = ["DecisionTree", "Evaluation", "GalvoteError", "Predictor", "evaluate", "load", "load_tree"]


def load(name: str | PathLike[str], backend: str | None = None) -> Predictor:
    """Load a model, ready to predict.

    Parameters
    ----------
    name
        Name of a shipped model such as ``galvote-small``, the folder of a saved model or a finished run, or a
        file that `galvote export` wrote.
    backend
        What computes: ``torch`` (in bfloat16 where that is fast), ``torch-float32``, ``onnx``, ``openvino``
        or ``auto``, the fastest that is installed and as accurate. ``torch`` if not given; of an exported
        file ``auto``.

    Raises
    ------
    ModelError
        If there is no such model, it is damaged, or the backend cannot compute it here.
    """
    from galvote.inference import Predictor

    return Predictor.load(name, backend)


_HOMES = {
    "DecisionTree": "galvote.trees",
    "Evaluation": "galvote.inference.evaluation",
    "GalvoteError": "galvote.errors",
    "Predictor": "galvote.inference",
    "evaluate": "galvote.inference.evaluation",
    "load_tree": "galvote.trees",
}


def __getattr__(name: str) -> Any:
    # Imported when first used, so that `import galvote` stays quick and loads no torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'galvote' has no attribute {name!r}")
