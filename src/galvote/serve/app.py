"""The whole application: models behind an API, its documentation, and the page."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from galvote._version import __version__
from galvote.errors import GalvoteError, ImageError
from galvote.inference import Predictor
from galvote.report.style import style_sheet
from galvote.serve import api
from galvote.serve.engine import Engine
from galvote.serve.errors import RequestError
from galvote.serve.middleware import LOG, RequestMiddleware
from galvote.serve.openapi import SAMPLES, complete_openapi, make_examples
from galvote.serve.security import Tokens, allow_script
from galvote.serve.settings import ServeSettings

PAGE = Path(__file__).parent / "page"


def create_app(predictors: Sequence[Predictor], settings: ServeSettings | None = None) -> FastAPI:
    """Return the ASGI application that serves some models, which are ready when its lifespan has begun.

    Parameters
    ----------
    predictors
        The models; the first is the default.
    settings
        Limits and tokens.

    Raises
    ------
    ModelError
        If there is no model, or two have the same name.
    """
    settings = settings or ServeSettings()
    engine = Engine(predictors, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(engine.warm_up)
        complete_openapi(app.openapi(), await asyncio.to_thread(make_examples, engine))
        LOG.info("ready", extra={"models": list(engine.predictors)})
        yield
        await asyncio.to_thread(engine.close)
        LOG.info("stopped")

    app = FastAPI(
        title="galvote",
        version=__version__,
        summary="From an image of a galaxy to the votes of volunteers.",
        description=(
            f"Limits of a request: {settings.max_megabytes:g} MB, {settings.max_files} images, "
            f"{settings.max_pixels / 1e6:g} million pixels each, {settings.timeout:g} seconds. Responses "
            'have the member `schema`, "1": members may be added, but none goes or changes its meaning.\n'
            f"{SAMPLES}"
        ),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.engine = engine
    app.include_router(api.open_router)
    app.include_router(api.router, dependencies=[Depends(Tokens(settings.tokens))] if settings.tokens else [])
    app.add_api_route("/", _show_page, include_in_schema=False)
    app.add_api_route("/docs", _show_documentation, include_in_schema=False)
    app.add_api_route("/page/style.css", _show_style, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/docs", StaticFiles(packages=[("fastapi_offline", "static")]))
    for error, answer in _ANSWERS.items():
        app.add_exception_handler(error, answer)
    app.add_middleware(RequestMiddleware, metrics=engine.metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
            expose_headers=["Retry-After"],
        )
    return app


async def _show_page() -> FileResponse:
    return FileResponse(PAGE / "index.html")


async def _show_style() -> Response:
    return Response(style_sheet(), media_type="text/css")


async def _show_documentation() -> Response:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="galvote: API",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/page/icon.svg",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": -1},
    )
    (script,) = re.findall(r"<script>(.*?)</script>", bytes(page.body).decode(), re.DOTALL)
    page.headers["Content-Security-Policy"] = allow_script(script)
    return page


async def _answer_error(request: Request, error: Exception) -> Response:
    # What galvote raises on purpose concerns what was asked for.
    refused = error if isinstance(error, RequestError) else RequestError(422, "invalid", str(error))
    return refused.response()


async def _answer_image_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImageError)
    if error.status == "too-large":
        return RequestError(413, "too-many-pixels", error.reason).response()
    return RequestError(422, error.status, error.reason).response()


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, message = {
        404: ("not-found", "There is nothing here; /docs lists the paths."),
        405: ("method", "This path has other methods; /docs lists them."),
    }.get(error.status_code, ("refused", str(error.detail)))
    return RequestError(error.status_code, status, message, error.headers).response()


async def _answer_invalid_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{each['loc'][:2][-1]}: {each['msg']}" for each in error.errors())
    return RequestError(422, "invalid", f"{wrong}. /docs lists what may be asked for.").response()


_ANSWERS = {
    GalvoteError: _answer_error,
    ImageError: _answer_image_error,
    HTTPException: _answer_http_exception,
    RequestValidationError: _answer_invalid_query,
}
