"""The paths of the API: each reads its upload, asks the engine, and returns the response."""

import asyncio
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from galvote.inference import LEVEL, Method, Predictor
from galvote.io.bands import Look
from galvote.serve import responses, schema
from galvote.serve.engine import AskedScale, Engine
from galvote.serve.errors import RequestError
from galvote.serve.examples import EXAMPLES
from galvote.serve.openapi import problems, takes_images
from galvote.serve.settings import MAX_TTA


async def _refuse_unknown(request: Request) -> None:
    """Raise the error of a query with a parameter that the path does not have."""
    described = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = {each["name"] for each in described.get("parameters", []) if each["in"] == "query"}
    if unknown := sorted(set(request.query_params) - known):
        raise RequestError(
            422,
            "unknown-parameter",
            f"{request.url.path} has no parameter {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(known)) or 'none'}.",
        )


open_router = APIRouter(dependencies=[Depends(_refuse_unknown)])
"""Paths for everybody."""
router = APIRouter(dependencies=[Depends(_refuse_unknown)])
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


async def _note_look(
    request: Request,
    bands: Annotated[
        str | None, Query(description="Bands of FITS files, by name or number.", examples=["i,r,g"])
    ] = None,
    stretch: Annotated[
        Literal["lupton", "asinh", "percentile"], Query(description="Of FITS files of one plane.")
    ] = "lupton",
) -> None:
    request.state.look = Look.of(bands, stretch)


async def _choose_scale(
    scale: Annotated[
        Literal["gz2", "auto"] | None,
        Query(
            description="gz2: images have the scale of GZ2 frames; auto: measure the galaxy in the middle."
        ),
    ] = None,
    pixel_scale: Annotated[
        float | None, Query(gt=0, le=100, description="Arcseconds in a pixel; goes with r90.")
    ] = None,
    r90: Annotated[
        list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None,
        Query(description="r90 in arcseconds, once for all images or once for each, in their order."),
    ] = None,
) -> AskedScale:
    return AskedScale(scale, pixel_scale, tuple(r90 or ()))


Scale = Annotated[AskedScale, Depends(_choose_scale)]
Figures = Annotated[
    bool, Query(description="Add the votes drawn down the tree (SVG) and the model's cutout (PNG).")
]


class JpegResponse(Response):
    """A JPEG."""

    media_type = "image/jpeg"


UPLOADED = problems(400, 401, 408, 413, 415, 422, 500, 503, 504)
LOOK = [Depends(_note_look)]
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


@router.get("/v1/examples", responses=problems(401, 500))
async def list_examples() -> list[schema.Example]:
    """List galaxies to try the server with: images of the Sloan Digital Sky Survey."""
    return [schema.Example(name=name, url=f"/v1/examples/{name}.jpg") for name in EXAMPLES]


@router.get("/v1/examples/{name}.jpg", response_class=JpegResponse, responses=problems(401, 404, 500))
async def show_example(name: str) -> Response:
    """Return one of these galaxies."""
    if name not in EXAMPLES:
        raise RequestError(404, "not-found", f"The examples are {', '.join(EXAMPLES)}.")
    data = await asyncio.to_thread(EXAMPLES[name].read_bytes)
    return JpegResponse(data, headers={"Cache-Control": "max-age=3600"})


@router.post(
    "/v1/predict",
    responses={**UPLOADED, 422: NO_IMAGE},
    openapi_extra=takes_images("files", many=True),
    dependencies=LOOK,
)
async def predict(
    request: Request,
    response: Response,
    engine: Server,
    predictor: Model,
    scale: Scale,
    tta: Tta = 1,
    level: Level = LEVEL,
    figures: Figures = False,
) -> schema.PredictAnswer:
    """Predict the votes of each image: one row for each, in order, whatever is wrong with others."""
    async with engine.uploads.receive(request) as files:
        prediction, shown = await engine.predict(files, predictor, tta, level, scale)
        galaxies = await asyncio.to_thread(
            responses.describe_galaxies, prediction, predictor, shown if figures else None
        )
    if not prediction.ok.any():
        response.status_code = 422
    return schema.PredictAnswer(
        model=responses.describe_model(predictor),
        tta=tta,
        level=level,
        galaxies=galaxies,
        remark=prediction.remark,
    )


@router.post(
    "/v1/field",
    responses={**UPLOADED, **problems(501)},
    openapi_extra=takes_images("file", many=False),
    dependencies=LOOK,
)
async def field(
    request: Request,
    engine: Server,
    predictor: Model,
    tta: Tta = 1,
    level: Level = LEVEL,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most galaxies, of the brightest.")] = 200,
    figures: Figures = False,
    image: Annotated[
        bool, Query(description="Return the wide image, too, for browsers that cannot show the file.")
    ] = False,
) -> schema.FieldAnswer:
    """Find the galaxies of a wide image, and predict the votes of each."""
    async with engine.uploads.receive(request, max_files=1) as (file,):
        found = await engine.find_field(file, predictor, tta, level, limit)
        return await asyncio.to_thread(
            responses.describe_field, found, predictor, tta, level, figures=figures, image=image
        )


@router.post(
    "/v1/explain",
    responses={**UPLOADED, **problems(501)},
    openapi_extra=takes_images("file", many=False),
    dependencies=LOOK,
)
async def explain(
    request: Request,
    engine: Server,
    predictor: Model,
    scale: Scale,
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
        explanation = await engine.explain(file, predictor, question, answer, method, scale)
    return await asyncio.to_thread(responses.describe_explanation, explanation, method, predictor)


@router.post(
    "/v1/rotate", responses=UPLOADED, openapi_extra=takes_images("file", many=False), dependencies=LOOK
)
async def rotate(
    request: Request,
    engine: Server,
    predictor: Model,
    scale: Scale,
    steps: Annotated[int, Query(ge=8, le=72, description="Angles around the circle.")] = 36,
) -> schema.RotateAnswer:
    """Show how the prediction changes as the image is rotated; ideally it does not."""
    angles = np.arange(steps, dtype=np.float32) * np.float32(360 / steps)
    async with engine.uploads.receive(request, max_files=1) as (file,):
        fractions = await engine.rotate(file, predictor, angles, scale)
    return responses.describe_rotation(angles, fractions, predictor)
