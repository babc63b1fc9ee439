"""From predictions to what the API answers."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal, SupportsFloat

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from galvote._version import __version__
from galvote.errors import ImageError
from galvote.field import Field, cut_out
from galvote.images.scale import Shown
from galvote.inference import Explanation, Method, Prediction, Predictor
from galvote.report.tree_drawing import NARROW, WIDE, draw_tree
from galvote.serve import schema

Image = UInt8[np.ndarray, "_ _ 3"]

_OVERLAY = 256  # pixels: small networks see 64, which a browser would blur
_HEAT = 0.55  # of the overlay
_WIDE_IMAGE = 4096  # pixels along the longer side of a wide image that is returned


def describe_models(predictors: Mapping[str, Predictor], default: str) -> schema.ModelsAnswer:
    """Describe the models of a server."""
    return schema.ModelsAnswer(
        models=[
            schema.ModelChoice(
                name=name,
                description=predictor.card.description,
                weights_sha256=predictor.card.weights_sha256,
                parameters=predictor.card.parameters,
                field_of_view=predictor.card.network.field_of_view,
                calibrated=predictor.calibration is not None,
                explains=predictor.has_network,
                rmse_tta_1=predictor.card.scores.get("rmse_tta_1"),
                rmse_tta_8=predictor.card.scores.get("rmse_tta_8"),
                tree=predictor.tree,
            )
            for name, predictor in predictors.items()
        ],
        default=default,
    )


def describe_model(predictor: Predictor) -> schema.ModelUsed:
    """Describe the model that answered."""
    return schema.ModelUsed(
        name=predictor.card.name, weights_sha256=predictor.card.weights_sha256, galvote=__version__
    )


def describe_galaxies(
    prediction: Prediction, predictor: Predictor, shown: Sequence[Shown | ImageError] | None = None
) -> list[schema.Galaxy]:
    """Describe the galaxies of a prediction."""
    return [
        schema.Galaxy(
            **_describe_galaxy(
                prediction, row, predictor, getattr(shown[row], "cutout", None) if shown else None
            )
        )
        for row in range(len(prediction))
    ]


def describe_field(
    field: Field, predictor: Predictor, tta: int, level: float, *, figures: bool, image: bool
) -> schema.FieldAnswer:
    """Describe a wide image and its galaxies."""
    height, width = field.image.shape[:2]
    half_width = predictor.geometry.field_of_view / 2  # in r90
    galaxies = []
    for row, galaxy in enumerate(field.galaxies):
        cutout = cut_out(field.image, galaxy, predictor.geometry) if figures else None
        half = half_width * galaxy.r90
        box = [round(place + side, 2) for side in (-half, half) for place in (galaxy.x, galaxy.y)]
        galaxies.append(
            schema.FieldGalaxyRow(
                **_describe_galaxy(field.prediction, row, predictor, cutout),
                x=round(galaxy.x, 2),
                y=round(galaxy.y, 2),
                box=box,
                r90=round(galaxy.r90, 2),
                touches_edge=galaxy.touches_edge,
                crowded=galaxy.crowded,
            )
        )
    return schema.FieldAnswer(
        model=describe_model(predictor),
        width=width,
        height=height,
        too_small=field.too_small,
        left_out=field.left_out,
        tta=tta,
        level=level,
        galaxies=galaxies,
        image=to_data_url(_shrink(field.image), "jpeg") if image else None,
    )


def describe_explanation(
    explanation: Explanation, method: Method, predictor: Predictor
) -> schema.ExplainAnswer:
    """Describe where a network looked."""
    heat = explanation.heat
    return schema.ExplainAnswer(
        model=describe_model(predictor),
        method=method,
        question=explanation.question,
        answer=explanation.answer,
        fraction=_round(explanation.fraction),
        heat=heat.astype(np.float64).round(3).tolist(),
        overlay=to_data_url(lay_over(explanation.seen, heat)),
    )


def describe_rotation(
    angles: Float32[np.ndarray, " angle"],
    fractions: Float32[np.ndarray, "angle answer"],
    predictor: Predictor,
) -> schema.RotateAnswer:
    """Describe how much a prediction depends on the image's orientation."""
    columns = fractions.T.astype(np.float64).round(5).tolist()
    return schema.RotateAnswer(
        model=describe_model(predictor),
        angles=angles.tolist(),
        fractions=dict(zip(predictor.tree.columns, columns, strict=True)),
        change=_round(np.abs(fractions - fractions.mean(axis=0)).mean()),
    )


def lay_over(seen: Image, heat: Float32[np.ndarray, "y x"]) -> UInt8[np.ndarray, "v u 3"]:
    """Lay heat over an image; where there is none, the image is left as it is."""
    size = (max(_OVERLAY, seen.shape[1]), max(_OVERLAY, seen.shape[0]))
    image = cv2.resize(seen, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    smooth = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    share = _HEAT * np.sqrt(smooth)[:, :, None]
    return np.asarray(((1 - share) * image + share * colours).astype(np.uint8))


def to_data_url(image: Image, kind: Literal["png", "jpeg"] = "png") -> str:
    """Encode an image in a data URL."""
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image[:, :, ::-1]))
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def _describe_galaxy(
    prediction: Prediction, row: int, predictor: Predictor, cutout: Image | None
) -> dict[str, Any]:
    texts = {"id": prediction.ids[row], "status": prediction.status[row], "reason": prediction.reason[row]}
    if prediction.status[row] != "ok":
        return texts
    tree, fractions = prediction.tree, prediction.fractions[row]
    low = high = ood = score = None
    if prediction.low is not None and prediction.high is not None:
        low, high = prediction.low[row], prediction.high[row]
    if prediction.ood is not None and prediction.ood_score is not None:
        ood, score = bool(prediction.ood[row]), _round(prediction.ood_score[row], 2)
    numbers, sets = prediction.numbers(), prediction.sets()
    return texts | {
        "r90_pixels": _known(prediction.r90_pixels, row),
        "scale_factor": _known(prediction.scale_factor, row),
        "ood": ood,
        "ood_score": score,
        "kind": prediction.finding(row).name,
        "path": [
            schema.Step(
                question=step.question.name,
                answer=step.answer.column,
                text=step.text,
                fraction=_round(step.fraction),
            )
            for step in prediction.path(row)
        ],
        "summary": prediction.headline(row),
        "fractions": {
            column: schema.Fraction(
                value=_round(fractions[i]),
                low=None if low is None else _round(low[i]),
                high=None if high is None else _round(high[i]),
            )
            for i, column in enumerate(tree.columns)
        },
        "numbers": {
            question.name: schema.Number(
                **{
                    name: None if values is None else float(f"{values[row]:.6g}")
                    for name, values in numbers[question.name]._asdict().items()
                },
                unit=question.unit,
            )
            for question in tree.numbers
        },
        "classes": None
        if sets is None
        else [answer.name for answer, held in zip(tree.answers, sets[row], strict=True) if held],
        "figures": None
        if cutout is None
        else schema.Figures(
            wide=draw_tree(tree, fractions, low, high, width=WIDE),
            narrow=draw_tree(tree, fractions, low, high, width=NARROW),
            cutout=to_data_url(_as_seen(cutout, predictor)),
        ),
    }


def _as_seen(cutout: Image, predictor: Predictor) -> Image:
    """Return the central part of a cutout, which the network sees."""
    share = predictor.card.network.field_of_view / predictor.geometry.field_of_view
    rim = round(max(0.0, 1 - share) / 2 * len(cutout))
    return cutout[rim : len(cutout) - rim, rim : len(cutout) - rim]


def _shrink(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, _WIDE_IMAGE / max(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _known(numbers: Float32[np.ndarray, " galaxy"] | None, row: int) -> float | None:
    return None if numbers is None or np.isnan(numbers[row]) else _round(numbers[row], 3)


def _round(number: SupportsFloat, digits: int = 5) -> float:
    return round(float(number), digits)
