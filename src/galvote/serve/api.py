"""The paths of the API: each reads its upload, asks the engine, and says what it found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from galvote.errors import ImageError
from galvote.inference import LEVEL, Method
from galvote.report.tree_drawing import NARROW, WIDE, draw_tree
from galvote.serve import answers, schema
from galvote.serve.engine import Engine
from galvote.serve.examples import EXAMPLES, draw_example
from galvote.serve.gate import json_response
from galvote.serve.metrics import Metrics
from galvote.serve.openapi import Responses, problems, takes_images
from galvote.serve.refusals import RefusalError
from galvote.serve.settings import MAX_VIEWS
from galvote.serve.uploads import Upload, UploadRoom
from galvote.trees import GZ2

ModelName = Annotated[str | None, Query(description="Which model answers; the default one if not given.")]
Tta = Annotated[
    int, Query(ge=1, le=MAX_VIEWS, description="Orientations averaged for each prediction.", examples=[8])
]
Level = Annotated[
    float, Query(gt=0, lt=1, description="Share of votes that the intervals are to hold.", examples=[LEVEL])
]


_SHARE = r"(0|1|0?\.\d{1,9}|1\.0{1,9})"
_SHARES = rf"^{_SHARE}(,{_SHARE}){{{len(GZ2) - 1}}}$"
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


ASKED: Responses = problems(401, 500)
UPLOADED: Responses = problems(400, 401, 408, 413, 415, 422, 500, 503, 504)


class _Reception:
    """Where the pictures of requests come in."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self._room = UploadRoom(engine.settings)

    @asynccontextmanager
    async def receive(
        self, request: Request, max_files: int | None = None
    ) -> AsyncIterator[tuple[list[Upload], float]]:
        """Receive pictures; what happens with them must end in time, too."""
        until = asyncio.get_running_loop().time() + self._engine.settings.timeout
        async with self._room.receive(request, until, max_files=max_files) as files:
            try:
                async with asyncio.timeout_at(until):
                    yield files, until
            except TimeoutError as error:
                raise RefusalError(
                    504,
                    "timeout",
                    f"There was no answer within {self._engine.settings.timeout:g} seconds; send fewer or "
                    "smaller pictures, or ask for fewer views.",
                ) from error
            except ImageError as error:
                self._metrics.read(error.status)
                too_large = error.status == "too-large"
                raise RefusalError(
                    413 if too_large else 422,
                    "too-many-pixels" if too_large else error.status,
                    error.reason,
                ) from error


def make_router(engine: Engine, metrics: Metrics) -> APIRouter:
    """Return the routes of an engine."""
    reception = _Reception(engine, metrics)
    router = APIRouter()
    router.include_router(_route_what_is_known(engine, metrics))
    router.include_router(_route_predictions(engine, metrics, reception))
    router.include_router(_route_explanations(engine, metrics, reception))
    return router


def _route_what_is_known(engine: Engine, metrics: Metrics) -> APIRouter:
    """Return the routes that tell about server, models and tree, and take no pictures."""
    router = APIRouter()
    models = answers.describe_models(engine.predictors, engine.default)

    @router.get("/healthz", response_model=schema.Health)
    async def healthz() -> Response:
        """Say that the server lives."""
        return json_response(schema.Health(status="ok").model_dump_json())

    @router.get("/readyz", response_model=schema.Health, responses=problems(503))
    async def readyz() -> Response:
        """Say whether a request would be answered: models are loaded and there is room in the queue."""
        engine.refuse_if_full()
        return json_response(schema.Health(status="ready").model_dump_json())

    @router.get("/metrics", response_class=PlainTextResponse, responses=problems(401))
    async def show_metrics() -> Response:
        """Return counters for Prometheus."""
        return Response(metrics.render(), media_type=metrics.content_type)

    @router.get("/v1/models", response_model=schema.ModelsAnswer, responses=ASKED)
    async def list_models() -> Response:
        """List the models that can be asked for."""
        return json_response(models.model_dump_json())

    @router.get("/v1/tree", response_model=schema.TreeAnswer, responses=ASKED)
    async def show_tree() -> Response:
        """Show the questions that volunteers are asked, and where each answer leads."""
        return json_response(answers.describe_tree(engine.choose(None).tree).model_dump_json())

    @router.get("/v1/examples", response_model=list[schema.Example], responses=ASKED)
    async def list_examples() -> list[schema.Example]:
        """List drawn galaxies to try the server with."""
        return [schema.Example(name=name, url=f"/v1/examples/{name}.jpg") for name in EXAMPLES]

    @router.get(
        "/v1/examples/{name}.jpg",
        response_class=JpegResponse,
        responses={
            **ASKED,
            404: {"model": schema.ProblemAnswer, "description": "There is none."},
        },
    )
    async def show_example(name: str) -> Response:
        """Return a drawn galaxy."""
        if name not in EXAMPLES:
            raise RefusalError(404, "not-found", f"The examples are {', '.join(EXAMPLES)}.")
        data = await asyncio.to_thread(draw_example, name)
        return JpegResponse(data, headers={"Cache-Control": "max-age=3600"})

    @router.get("/v1/drawing", response_class=SvgResponse, responses={**ASKED, **problems(422)})
    async def draw_votes(
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
        return SvgResponse(draw_tree(GZ2, votes, *ends, width=width))

    return router


def _route_predictions(engine: Engine, metrics: Metrics, reception: _Reception) -> APIRouter:
    """Return the routes that say what galaxies are, one to a picture or many."""
    router = APIRouter()

    @router.post(
        "/v1/predict",
        response_model=schema.PredictAnswer,
        responses={
            **UPLOADED,
            422: {
                "model": schema.PredictAnswer | schema.ProblemAnswer,
                "description": "No picture can be read: the rows say why. Or the query is out of range.",
            },
        },
        openapi_extra=takes_images("files", engine.settings.max_files),
    )
    async def predict(
        request: Request, model: ModelName = None, tta: Tta = 1, level: Level = LEVEL
    ) -> Response:
        """Predict the votes of each picture: one row for each, in order, whatever is wrong with others."""
        predictor = engine.choose(model)
        async with reception.receive(request) as (files, _):
            said = await engine.classify(files, predictor, tta, level)
        for one in said:
            metrics.read(one.status if isinstance(one, ImageError) else "ok")
        answer = schema.PredictAnswer(
            model=answers.describe_model(predictor),
            tta=tta,
            level=level,
            galaxies=[
                answers.describe_galaxy(file.name, one, predictor.tree)
                for file, one in zip(files, said, strict=True)
            ],
        )
        none_read = all(isinstance(one, ImageError) for one in said)
        return json_response(answer.model_dump_json(), 422 if none_read else 200)

    @router.post(
        "/v1/field",
        response_model=schema.FieldAnswer,
        responses={
            **UPLOADED,
            501: {"model": schema.ProblemAnswer, "description": "photutils is not installed."},
        },
        openapi_extra=takes_images("file", 1),
    )
    async def field(
        request: Request,
        tta: Tta = 1,
        level: Level = LEVEL,
        limit: Annotated[int, Query(ge=1, le=1000, description="Most galaxies, of the brightest.")] = 200,
        image: Annotated[
            bool, Query(description="Return the wide picture, too, for who cannot show the file.")
        ] = False,
        model: ModelName = None,
    ) -> Response:
        """Find the galaxies of a wide picture, and predict the votes of each."""
        predictor = engine.choose(model)
        async with reception.receive(request, max_files=1) as ((file,), until):
            found, said = await engine.classify_field(file, predictor, tta, level, limit, until, image)
            answer = await asyncio.to_thread(answers.describe_field, found, said, predictor, tta, level)
        metrics.read("ok")
        return json_response(answer.model_dump_json())

    return router


def _route_explanations(engine: Engine, metrics: Metrics, reception: _Reception) -> APIRouter:
    """Return the routes that say why, and how sure that is."""
    router = APIRouter()

    @router.post(
        "/v1/explain",
        response_model=schema.ExplainAnswer,
        responses=UPLOADED,
        openapi_extra=takes_images("file", 1),
    )
    async def explain(
        request: Request,
        question: Annotated[
            str, Query(description="Key of the question.", examples=["smooth_or_features"])
        ] = "smooth_or_features",
        answer: Annotated[
            str | None, Query(description="Column of the answer; the likeliest one if not given.")
        ] = None,
        method: Annotated[Method, Query(description="How it is found out.")] = "gradcam",
        model: ModelName = None,
    ) -> Response:
        """Show which parts of the picture mattered for an answer."""
        predictor = engine.choose(model)
        async with reception.receive(request, max_files=1) as ((file,), _):
            explanation = await engine.explain(file, predictor, question, answer, method)
        metrics.read("ok")
        said = await asyncio.to_thread(answers.describe_explanation, explanation, method, predictor)
        return json_response(said.model_dump_json())

    @router.post(
        "/v1/turn",
        response_model=schema.TurnAnswer,
        responses=UPLOADED,
        openapi_extra=takes_images("file", 1),
    )
    async def turn(
        request: Request,
        steps: Annotated[int, Query(ge=8, le=72, description="Angles around the circle.")] = 36,
        model: ModelName = None,
    ) -> Response:
        """Show how the prediction changes as the picture is turned; ideally it does not."""
        predictor = engine.choose(model)
        angles = np.arange(steps, dtype=np.float32) * np.float32(360 / steps)
        async with reception.receive(request, max_files=1) as ((file,), _):
            fractions = await engine.turn(file, predictor, angles)
        metrics.read("ok")
        return json_response(answers.describe_turn(angles, fractions, predictor).model_dump_json())

    return router
