"""The models that ship: a folder each, whose card says what it is. Needs no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ModelSummary:
    """What a model is chosen by; what was not measured is None.

    Parameters
    ----------
    name
        As `galvote.load` takes it.
    description
        One line.
    parameters
        How many numbers the network has.
    bytes
        Size of the folder.
    rmse_tta_1, rmse_tta_8
        On the galaxies that the card names, in one orientation and averaged over eight.
    speed
        Galaxies a second by number of threads, on which machine.
    calibrated
        Whether it predicts intervals.
    directory
        The folder.
    """

    name: str
    description: str
    parameters: int
    bytes: int
    rmse_tta_1: float | None
    rmse_tta_8: float | None
    speed: dict[str, Any] | None
    calibrated: bool
    directory: str


def list_models(folder: str | Path = FOLDER) -> tuple[ModelSummary, ...]:
    """Return a summary of each model that ships with galvote, or that is in a folder of models, by name.

    Parameters
    ----------
    folder
        Of models, each in a folder of its own.
    """
    return tuple(
        summarise_model(card.parent, json.loads(card.read_bytes()))
        for card in sorted(Path(folder).glob("*/card.json"))
    )


def summarise_model(directory: Path, card: dict[str, Any]) -> ModelSummary:
    """Return what a model is chosen by, picked out of its card.

    Parameters
    ----------
    directory
        The model's folder.
    card
        As ``card.json`` has it.
    """
    scores = card["scores"]
    return ModelSummary(
        name=directory.name,
        description=card["description"],
        parameters=card["parameters"],
        bytes=sum(file.stat().st_size for file in directory.iterdir()),
        rmse_tta_1=scores.get("rmse_tta_1"),
        rmse_tta_8=scores.get("rmse_tta_8"),
        speed=scores.get("speed"),
        calibrated=bool(card.get("calibration")),
        directory=str(directory),
    )
