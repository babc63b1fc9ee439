"""The errors that galvote raises on purpose. Every message says what to do next."""

from importlib.util import find_spec


class GalvoteError(Exception):
    """Something the user can put right; the command line prints it without a traceback."""


class TreeError(GalvoteError):
    """A decision tree that contradicts itself.

    Parameters
    ----------
    message
        A sentence for a person.
    *place
        Where in a tree's file it is: settings to find one after another, each a key and its value, which may
        be empty.
    """

    def __init__(self, message: str, *place: tuple[str, str]) -> None:
        super().__init__(message)
        self.place = place


class FractionError(GalvoteError):
    """Vote fractions that are out of range or break the tree."""


class CatalogueError(GalvoteError):
    """A table of galaxies that cannot be read, matched or written."""


class OutputError(GalvoteError):
    """A place that cannot be written to, or that holds something already."""


class ImageError(GalvoteError):
    """An image that cannot become a cutout.

    Parameters
    ----------
    status
        One word for the kind of failure, as it stands in a catalogue's ``status`` column:
        ``missing``, ``empty``, ``not-an-image``, ``truncated``, ``too-large`` or ``unsupported``; of galaxies
        that are looked up by position also ``no-position``, ``no-size``, ``outside``, ``incomplete`` or
        ``unavailable``.
    reason
        A sentence for a person.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ScaleWarning(UserWarning):
    """Images seem to have another scale than those that a model was trained on."""


class RecipeError(GalvoteError):
    """A recipe with an unknown key or a value out of range."""


class ModelError(GalvoteError):
    """A saved model that is missing, damaged or of another version."""


class TrainingError(GalvoteError):
    """A training run that cannot start, resume or go on."""


class ClusterError(GalvoteError):
    """A cluster that cannot be reached, has no room, or sees other things than its user."""


def require_torch(what: str) -> None:
    """Raise `ModelError` where torch is not installed.

    Parameters
    ----------
    what
        What needs it, as a sentence begins.
    """
    _require("torch", f"{what} needs PyTorch: pip install 'galvote[train]'")


def require_learners(what: str) -> None:
    """Raise `ModelError` where scikit-learn or cleanlab is not installed.

    Parameters
    ----------
    what
        What needs them, as a sentence begins.
    """
    for module, name in (("sklearn", "scikit-learn"), ("cleanlab", "cleanlab")):
        _require(module, f"{what} needs {name}: pip install 'galvote[finetune]'")


def _require(module: str, message: str) -> None:
    if find_spec(module) is None:
        raise ModelError(message)
