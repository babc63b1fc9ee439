"""What models say, in the words of the schema."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from galvote import __version__
from galvote.errors import ImageError
from galvote.inference import Explanation, Method, Predictor
from galvote.serve import schema
from galvote.serve.engine import Prediction
from galvote.serve.fields import FoundField, box_of
from galvote.trees import DecisionTree

_DIGITS = 5
_OVERLAY = 256  # pixels: small networks see 64, which a browser would blur
_HEAT = 0.55  # of the overlay


def describe_models(predictors: Mapping[str, Predictor], default: str) -> schema.ModelsAnswer:
    """Say which models there are."""
    return schema.ModelsAnswer(
        models=[
            schema.ModelChoice(
                name=name,
                description=predictor.card.description,
                weights_sha256=predictor.card.weights_sha256,
                parameters=predictor.card.parameters,
                field_of_view=predictor.network.spec.field_of_view,
                calibrated=predictor.calibration is not None,
                rmse_1_view=predictor.card.scores.get("rmse_1_view"),
                rmse_8_views=predictor.card.scores.get("rmse_8_views"),
            )
            for name, predictor in predictors.items()
        ],
        default=default,
    )


def describe_tree(tree: DecisionTree) -> schema.TreeAnswer:
    """Say what volunteers are asked."""
    return schema.TreeAnswer(
        name=tree.name,
        questions=[
            schema.TreeQuestion(
                key=question.name,
                text=question.text,
                answers=[
                    schema.TreeAnswerChoice(
                        column=answer.column, text=answer.text, phrase=answer.phrase, next=answer.leads_to
                    )
                    for answer in question.answers
                ],
                qualifies=question.qualifies,
                always_asked=question.always_asked,
            )
            for question in tree.questions
        ],
    )


def describe_model(predictor: Predictor) -> schema.ModelUsed:
    """Say which model answered."""
    return schema.ModelUsed(
        name=predictor.card.name, weights_sha256=predictor.card.weights_sha256, galvote=__version__
    )


def describe_galaxy(id_: str, said: Prediction | ImageError, tree: DecisionTree) -> schema.Galaxy:
    """Say what a model sees in one picture, or why there is no saying."""
    if isinstance(said, ImageError):
        return schema.Galaxy(
            id=id_, status=said.status, reason=said.reason, ood=None, path=[], fractions=None
        )
    return schema.Galaxy(id=id_, status="ok", reason="", **_describe(said, tree))


def describe_field(
    found: FoundField,
    predictions: Sequence[Prediction],
    predictor: Predictor,
    tta: int,
    level: float,
) -> schema.FieldAnswer:
    """Say what a model sees in a wide picture."""
    rows = [
        schema.FieldGalaxyRow(
            id=str(galaxy.number),
            status="ok",
            reason="",
            **_describe(said, predictor.tree),
            x=round(galaxy.x, 2),
            y=round(galaxy.y, 2),
            box=_rounded(box_of(galaxy, predictor.geometry)),
            r90=round(galaxy.r90, 2),
            touches_edge=galaxy.touches_edge,
            crowded=galaxy.crowded,
            thumbnail=to_data_url(thumbnail),
        )
        for galaxy, said, thumbnail in zip(found.galaxies, predictions, found.thumbnails, strict=True)
    ]
    return schema.FieldAnswer(
        model=describe_model(predictor),
        width=found.width,
        height=found.height,
        too_small=found.too_small,
        left_out=found.left_out,
        tta=tta,
        level=level,
        galaxies=rows,
        image=None if found.image is None else to_data_url(found.image, "jpeg"),
    )


def describe_explanation(
    explanation: Explanation, method: Method, predictor: Predictor
) -> schema.ExplainAnswer:
    """Say where a network looked."""
    heat = explanation.heat
    return schema.ExplainAnswer(
        model=describe_model(predictor),
        method=method,
        question=explanation.question,
        answer=explanation.answer,
        fraction=round(explanation.fraction, _DIGITS),
        heat=schema.Heat(
            width=heat.shape[1], height=heat.shape[0], values=heat.astype(np.float64).round(3).tolist()
        ),
        overlay=to_data_url(lay_over(explanation.seen, heat)),
        cutout=to_data_url(explanation.seen),
    )


def describe_rotation(
    angles: Float32[np.ndarray, " angle"],
    fractions: Float32[np.ndarray, "angle answer"],
    predictor: Predictor,
) -> schema.RotateAnswer:
    """Say how much a prediction owes to the image's orientation."""
    columns = fractions.T.astype(np.float64).round(_DIGITS).tolist()
    return schema.RotateAnswer(
        model=describe_model(predictor),
        angles=angles.tolist(),
        fractions=dict(zip(predictor.tree.columns, columns, strict=True)),
        change=round(float(np.abs(fractions - fractions.mean(axis=0)).mean()), _DIGITS),
    )


def lay_over(
    seen: UInt8[np.ndarray, "y x 3"], heat: Float32[np.ndarray, "y x"]
) -> UInt8[np.ndarray, "v u 3"]:
    """Lay heat over a picture: where there is none, the picture is left as it is."""
    size = (max(_OVERLAY, seen.shape[1]), max(_OVERLAY, seen.shape[0]))
    image = cv2.resize(seen, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    smooth = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    share = _HEAT * np.sqrt(smooth)[:, :, None]
    return np.asarray(((1 - share) * image + share * colours).astype(np.uint8))


def to_data_url(image: UInt8[np.ndarray, "y x 3"], kind: Literal["png", "jpeg"] = "png") -> str:
    """Return a picture in a data URL."""
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image[:, :, ::-1]))
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def _describe(said: Prediction, tree: DecisionTree) -> dict[str, object]:
    ends = [None] * len(tree), [None] * len(tree)
    low, high = ends if said.low is None or said.high is None else (_rounded(said.low), _rounded(said.high))
    return {
        "ood": said.ood,
        "path": [
            schema.Step(
                question=step.question.name,
                answer=step.answer.column,
                text=step.answer.phrase,
                fraction=round(step.fraction, _DIGITS),
            )
            for step in said.path
        ],
        "fractions": {
            column: schema.Fraction(value=value, low=lowest, high=highest)
            for column, value, lowest, highest in zip(
                tree.columns, _rounded(said.fractions), low, high, strict=True
            )
        },
    }


def _rounded(numbers: Float32[np.ndarray, " n"] | Sequence[float]) -> list[float]:
    return [round(float(number), _DIGITS) for number in numbers]
