"""What every request passes: the token, the count of open requests, the log, the metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galvote.serve.logs import log
from galvote.serve.metrics import Metrics
from galvote.serve.refusals import RefusalError, busy, describe_refusal
from galvote.serve.security import Tokens
from galvote.serve.settings import ServeSettings


class Gate:
    """ASGI middleware around the whole application.

    A request is refused here if it has no token, or if too many are open. Whatever fails unforeseen is
    answered with 500 and logged with its traceback; the server goes on.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self.app = app
        self._tokens = Tokens(settings.tokens)
        self._most = settings.requests
        self._metrics = metrics
        self._open = 0
        metrics.watch_requests(lambda: self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        code = 0

        async def send_and_note(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        id_ = uuid4().hex[:12]
        try:
            await self._answer(scope, receive, send_and_note)
        except asyncio.CancelledError:
            raise
        except Exception:
            log("failed", logging.ERROR, error=True, request=id_)
            if not code:
                refusal = RefusalError(
                    500,
                    "failed",
                    f"The server could not answer; its log says why, under request {id_}. If asking again "
                    "does not help, tell whoever runs it.",
                )
                await refusal_response(refusal)(scope, receive, send_and_note)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(route, scope["method"] if route != "other" else "", code, seconds)
            log(
                "answered",
                request=id_,
                method=scope["method"],
                route=route,
                code=code,
                milliseconds=round(1000 * seconds, 1),
            )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        sends_images = scope["method"] == "POST"
        try:
            self._tokens.check(scope["path"], Headers(scope=scope))
            if sends_images and self._open >= self._most:
                raise busy(f"{self._open} requests are open.")
        except RefusalError as refusal:
            await refusal_response(refusal)(scope, receive, send)
            return
        self._open += sends_images
        try:
            await self.app(scope, receive, send)
        finally:
            self._open -= sends_images


def refusal_response(refusal: RefusalError) -> Response:
    """Return the answer to a request that is refused."""
    return json_response(describe_refusal(refusal), refusal.code, refusal.headers)


def json_response(body: str, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer that no one keeps."""
    return Response(body, code, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
