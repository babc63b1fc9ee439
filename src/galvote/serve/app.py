"""The whole application: models behind an API, and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from galvote import __version__
from galvote.errors import GalvoteError
from galvote.inference import Predictor
from galvote.report.style import style_sheet
from galvote.serve.api import make_router
from galvote.serve.engine import Engine
from galvote.serve.gate import Gate, refusal_response
from galvote.serve.logs import log
from galvote.serve.metrics import Metrics
from galvote.serve.openapi import describe_api, make_examples
from galvote.serve.reference import HERE as REFERENCE
from galvote.serve.reference import write_reference
from galvote.serve.refusals import RefusalError
from galvote.serve.security import SecurityHeaders
from galvote.serve.settings import ServeSettings

PAGE = Path(__file__).parent / "page"


class _Application(FastAPI):
    """FastAPI, once it lives with a description of its own."""

    described: dict[str, Any] | None = None

    def openapi(self) -> dict[str, Any]:
        """Return the description."""
        return self.described or super().openapi()


def create_app(predictors: Sequence[Predictor], settings: ServeSettings | None = None) -> FastAPI:
    """Return the ASGI application that serves these models.

    Parameters
    ----------
    predictors
        The first is the one that answers if none is asked for.
    settings
        Limits and tokens.

    Raises
    ------
    ModelError
        If there is no model, or two have the same name.
    """
    settings = settings or ServeSettings()
    metrics = Metrics()
    engine = Engine(predictors, settings, metrics)

    @asynccontextmanager
    async def live(app: _Application) -> AsyncIterator[None]:
        await asyncio.to_thread(engine.warm_up)
        examples = await asyncio.to_thread(make_examples, engine.predictors, engine.default)
        app.described = describe_api(app, settings, examples)
        log("ready", models=list(engine.predictors))
        yield
        await asyncio.to_thread(engine.close)
        log("stopped")

    app = _Application(
        title="galvote",
        version=__version__,
        summary="From a picture of a galaxy to the votes of a crowd.",
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(make_router(engine, metrics))
    app.add_api_route("/", _show_page, include_in_schema=False)
    app.add_api_route("/docs", _show_reference, include_in_schema=False)
    app.add_api_route("/docs/page.css", _show_reference_style, include_in_schema=False)
    app.add_api_route("/page/style.css", _show_style, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_exception_handler(GalvoteError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_path)
    app.add_exception_handler(RequestValidationError, _refuse_query)
    # The last one is the outermost.
    app.add_middleware(Gate, settings=settings, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    return app


async def _show_page() -> FileResponse:
    return FileResponse(PAGE / "index.html")


async def _show_style() -> Response:
    return Response(style_sheet(), media_type="text/css")


async def _show_reference(request: Request) -> HTMLResponse:
    return HTMLResponse(write_reference(request.app.openapi(), str(request.base_url)))


async def _show_reference_style() -> FileResponse:
    return FileResponse(REFERENCE / "page.css")


async def _refuse(request: Request, error: Exception) -> Response:
    # What galvote raises on purpose concerns what was asked for.
    refusal = error if isinstance(error, RefusalError) else RefusalError(422, "invalid", str(error))
    return refusal_response(refusal)


async def _refuse_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, message = {
        404: ("not-found", "There is nothing here; /docs says what there is."),
        405: ("method", "This path is not asked in this way; /docs says how it is."),
    }.get(error.status_code, ("refused", str(error.detail)))
    return refusal_response(RefusalError(error.status_code, status, message, error.headers))


async def _refuse_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
    return refusal_response(RefusalError(422, "invalid", f"{wrong}. /docs says what may be asked for."))
