"""What the API says of itself: OpenAPI, with answers that this server's own models gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from galvote.images import decode_cutout, try_cutout
from galvote.inference import LEVEL, Predictor, explain, turn
from galvote.serve import answers, schema
from galvote.serve.engine import complete
from galvote.serve.examples import draw_example
from galvote.serve.settings import ServeSettings

EXAMPLE = "spiral"

PROBLEMS = {
    400: "The body is malformed.",
    401: "The server wants a token.",
    408: "The upload is too slow.",
    413: "Too many bytes, pixels, files or views.",
    415: "The body is of a type that holds no pictures.",
    422: "What is asked for does not exist or is out of range, or the picture cannot be read.",
    500: "Something unforeseen; the server's log says what.",
    503: "The server has enough to do.",
    504: "There was no answer in time.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*codes: int) -> Responses:
    """Return how a path may refuse, for its documentation."""
    found: Responses = {
        code: {"model": schema.ProblemAnswer, "description": PROBLEMS[code]} for code in codes
    }
    if 503 in found:
        found[503]["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        }
    return found


def takes_images(field: str, most: int) -> dict[str, Any]:
    """Return the documentation of a body with pictures."""
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": most} if most > 1 else file
    form = {"type": "object", "properties": {field: files}, "required": [field]}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    content |= {kind: {"schema": file} for kind in ("image/jpeg", "image/png", "application/fits")}
    return {"requestBody": {"required": True, "content": content}}


def make_examples(predictors: Mapping[str, Predictor], default: str) -> dict[str, Any]:
    """Return what the default model says of the example galaxy, by path."""
    predictor = predictors[default]
    cutout = decode_cutout(draw_example(EXAMPLE), predictor.geometry)
    fractions, features = predictor.predict_features(cutout[None], 8)
    said = {
        f"{EXAMPLE}.jpg": complete(predictor, cutout, fractions[0], features[0], LEVEL),
        "notes.txt": try_cutout(lambda: b"not a picture", predictor.geometry),
    }
    explanation = explain(predictor, cutout, predictor.tree.questions[0].name)
    angles = np.arange(0, 360, 45, dtype=np.float32)
    found = {
        "/v1/models": answers.describe_models(predictors, default),
        "/v1/tree": answers.describe_tree(predictor.tree),
        "/v1/predict": schema.PredictAnswer(
            model=answers.describe_model(predictor),
            tta=8,
            level=LEVEL,
            galaxies=[
                answers.describe_galaxy(name, one, predictor.tree)
                for name, one in said.items()
                if not isinstance(one, np.ndarray)
            ],
        ),
        "/v1/explain": answers.describe_explanation(explanation, "gradcam", predictor),
        "/v1/turn": answers.describe_turn(angles, turn(predictor, cutout, angles), predictor),
    }
    examples = {path: json.loads(answer.model_dump_json()) for path, answer in found.items()}
    # A picture in full would bury the rest.
    explained = examples["/v1/explain"]
    explained["heat"]["values"] = [row[:4] for row in explained["heat"]["values"][:4]]
    explained |= {name: explained[name][:48] for name in ("overlay", "cutout")}
    return examples


def describe_api(app: FastAPI, settings: ServeSettings, examples: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of the application."""
    described = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=(
            f"Limits of a request: {settings.max_megabytes:g} MB, {settings.max_files} pictures, "
            f"{settings.max_pixels / 1e6:g} million pixels each, {settings.timeout:g} seconds. Answers have "
            'the member `schema`, "1": members may be added, but none goes or changes its meaning.'
        ),
        routes=app.routes,
    )
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"]["200"]["description"] = "The answer."
            for code, response in operation["responses"].items():
                if code != "200":  # FastAPI takes a refusal for whatever the answer would have been
                    response["content"] = {"application/json": next(iter(response["content"].values()))}
    for path, example in examples.items():
        for operation in described["paths"][path].values():
            operation["responses"]["200"]["content"]["application/json"]["example"] = example
    if settings.tokens:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in described["paths"].items():
            if path.startswith(("/v1/", "/metrics")):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return described
