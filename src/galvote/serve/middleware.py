"""Around every request: headers that protect browsers, the log, the metrics, unforeseen errors."""

import logging
import time
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galvote.serve.errors import RequestError
from galvote.serve.metrics import Metrics
from galvote.serve.security import HEADERS

LOG = logging.getLogger("galvote.serve")


class RequestMiddleware:
    """ASGI middleware around the whole application.

    Whatever fails unforeseen is answered with 500 and logged with its traceback; the server goes on. Neither
    images nor file names, queries or tokens are logged.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, code, id_ = time.monotonic(), 0, uuid4().hex[:12]

        async def send_with_headers(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if headers.get("content-type") == "application/json":
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            LOG.exception("failed", extra={"request": id_})
            if not code:
                message = (
                    f"The server could not answer; its log says why, under request {id_}. If asking again "
                    "does not help, tell whoever runs it."
                )
                await RequestError(500, "failed", message).response()(scope, receive, send_with_headers)
        finally:
            seconds = time.monotonic() - start
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if route != "other" else ""
            self._metrics.requests.labels(route, method, str(code)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            fields = {"request": id_, "method": scope["method"], "route": route, "code": code}
            LOG.info("answered", extra={**fields, "milliseconds": round(1000 * seconds, 1)})
