"""The paths of the API: each reads its upload, asks the engine, and returns the response."""

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from galvote.errors import ImageError
from galvote.inference import LEVEL, Method, Predictor
from galvote.report.tree_drawing import NARROW, WIDE, draw_tree
from galvote.serve import responses, schema
from galvote.serve.engine import Engine
from galvote.serve.errors import RequestError
from galvote.serve.examples import EXAMPLES, draw_example
from galvote.serve.openapi import problems, takes_images
from galvote.serve.settings import MAX_TTA

open_router = APIRouter()
"""Paths for everybody."""
router = APIRouter()
"""Paths that want a token, where there are any."""


async def _find_engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


Server = Annotated[Engine, Depends(_find_engine)]


async def _choose_model(
    engine: Server,
    model: Annotated[
        str | None, Query(description="Which model answers; the default one if not given.")
    ] = None,
) -> Predictor:
    return engine.choose(model)


Model = Annotated[Predictor, Depends(_choose_model)]
Tta = Annotated[
    int, Query(ge=1, le=MAX_TTA, description="Orientations averaged for each prediction.", examples=[8])
]
Level = Annotated[
    float, Query(gt=0, lt=1, description="Share of votes that the intervals are to hold.", examples=[LEVEL])
]

_SHARE = r"(0|1|0?\.\d{1,9}|1\.0{1,9})"
_SHARES = rf"^{_SHARE}(,{_SHARE})*$"
Shares = Annotated[
    str,
    Query(
        pattern=_SHARES,
        description="A number from 0 to 1 for each answer, in the tree's order, with commas between.",
    ),
]
Ends = Annotated[str | None, Query(pattern=_SHARES, description="Ends of the intervals, likewise.")]


class JpegResponse(Response):
    """A JPEG."""

    media_type = "image/jpeg"


class SvgResponse(Response):
    """A drawing."""

    media_type = "image/svg+xml"


UPLOADED = problems(400, 401, 408, 413, 415, 422, 500, 503, 504)
ASKED = problems(401, 422, 500)
NO_IMAGE = {
    "model": schema.PredictAnswer | schema.ProblemAnswer,
    "description": "No image can be read: the rows say why. Or the query is out of range.",
}


@open_router.get("/healthz")
async def healthz() -> schema.Health:
    """Liveness check."""
    return schema.Health(status="ok")


@open_router.get("/readyz", responses=problems(503))
async def readyz(engine: Server) -> schema.Health:
    """Readiness check: the models are loaded and there is room in the queue."""
    engine.refuse_if_full()
    return schema.Health(status="ready")


@router.get("/metrics", response_class=PlainTextResponse, responses=problems(401))
async def show_metrics(engine: Server) -> Response:
    """Return counters for Prometheus."""
    return Response(generate_latest(engine.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/models", responses=problems(401, 500))
async def list_models(engine: Server) -> schema.ModelsAnswer:
    """List the models."""
    return responses.describe_models(engine.predictors, engine.default)


@router.get("/v1/tree", responses=ASKED)
async def show_tree(predictor: Model) -> schema.TreeAnswer:
    """Show the questions that volunteers are asked, and where each answer leads."""
    return responses.describe_tree(predictor.tree)


@router.get("/v1/examples", responses=problems(401, 500))
async def list_examples() -> list[schema.Example]:
    """List simulated galaxies to try the server with."""
    return [schema.Example(name=name, url=f"/v1/examples/{name}.jpg") for name in EXAMPLES]


@router.get("/v1/examples/{name}.jpg", response_class=JpegResponse, responses=problems(401, 404, 500))
async def show_example(name: str) -> Response:
    """Return a simulated galaxy."""
    if name not in EXAMPLES:
        raise RequestError(404, "not-found", f"The examples are {', '.join(EXAMPLES)}.")
    data = await asyncio.to_thread(draw_example, name)
    return JpegResponse(data, headers={"Cache-Control": "max-age=3600"})


@router.get("/v1/drawing", response_class=SvgResponse, responses=ASKED)
async def draw_votes(
    predictor: Model,
    fractions: Shares,
    low: Ends = None,
    high: Ends = None,
    width: Annotated[int, Query(ge=NARROW, le=2 * WIDE, description="Of the drawing, in pixels.")] = WIDE,
) -> Response:
    """Draw votes down the tree; /page/style.css has the colours."""
    votes, *ends = (
        None if text is None else np.array([float(share) for share in text.split(",")])
        for text in (fractions, low, high)
    )
    assert votes is not None
    if any(len(shares) != len(predictor.tree) for shares in (votes, *ends) if shares is not None):
        raise RequestError(
            422, "invalid", f"There must be {len(predictor.tree)} numbers, one for each answer."
        )
    return SvgResponse(draw_tree(predictor.tree, votes, *ends, width=width))


@router.post(
    "/v1/predict", responses={**UPLOADED, 422: NO_IMAGE}, openapi_extra=takes_images("files", many=True)
)
async def predict(
    request: Request, response: Response, engine: Server, predictor: Model, tta: Tta = 1, level: Level = LEVEL
) -> schema.PredictAnswer:
    """Predict the votes of each image: one row for each, in order, whatever is wrong with others."""
    async with engine.uploads.receive(request) as files:
        predictions = await engine.classify(files, predictor, tta, level)
    if all(isinstance(each, ImageError) for each in predictions):
        response.status_code = 422
    return schema.PredictAnswer(
        model=responses.describe_model(predictor),
        tta=tta,
        level=level,
        galaxies=[
            responses.describe_galaxy(file.name, each, predictor.tree)
            for file, each in zip(files, predictions, strict=True)
        ],
    )


@router.post(
    "/v1/field", responses={**UPLOADED, **problems(501)}, openapi_extra=takes_images("file", many=False)
)
async def field(
    request: Request,
    engine: Server,
    predictor: Model,
    tta: Tta = 1,
    level: Level = LEVEL,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most galaxies, of the brightest.")] = 200,
    image: Annotated[
        bool, Query(description="Return the wide image, too, for browsers that cannot show the file.")
    ] = False,
) -> schema.FieldAnswer:
    """Find the galaxies of a wide image, and predict the votes of each."""
    async with engine.uploads.receive(request, max_files=1) as (file,):
        found, predictions = await engine.classify_field(file, predictor, tta, level, limit, image)
        return await asyncio.to_thread(responses.describe_field, found, predictions, predictor, tta, level)


@router.post("/v1/explain", responses=UPLOADED, openapi_extra=takes_images("file", many=False))
async def explain(
    request: Request,
    engine: Server,
    predictor: Model,
    question: Annotated[
        str | None, Query(description="Key of the question; the first one if not given.")
    ] = None,
    answer: Annotated[
        str | None, Query(description="Column of the answer; the likeliest one if not given.")
    ] = None,
    method: Annotated[Method, Query(description="How it is computed.")] = "gradcam",
) -> schema.ExplainAnswer:
    """Show which parts of the image mattered for an answer."""
    question = predictor.tree.questions[0].name if question is None else question
    async with engine.uploads.receive(request, max_files=1) as (file,):
        explanation = await engine.explain(file, predictor, question, answer, method)
    return await asyncio.to_thread(responses.describe_explanation, explanation, method, predictor)


@router.post("/v1/rotate", responses=UPLOADED, openapi_extra=takes_images("file", many=False))
async def rotate(
    request: Request,
    engine: Server,
    predictor: Model,
    steps: Annotated[int, Query(ge=8, le=72, description="Angles around the circle.")] = 36,
) -> schema.RotateAnswer:
    """Show how the prediction changes as the image is rotated; ideally it does not."""
    angles = np.arange(steps, dtype=np.float32) * np.float32(360 / steps)
    async with engine.uploads.receive(request, max_files=1) as (file,):
        fractions = await engine.rotate(file, predictor, angles)
    return responses.describe_rotation(angles, fractions, predictor)
