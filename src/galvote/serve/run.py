"""The server's process: uvicorn on one address, until it is told to stop."""

import signal
import socket
from collections.abc import Sequence
from logging.config import dictConfig
from typing import Any

import uvicorn
from pythonjsonlogger.core import RESERVED_ATTRS
from threadpoolctl import threadpool_limits

from galvote.errors import GalvoteError
from galvote.inference import Predictor
from galvote.serve.app import create_app
from galvote.serve.middleware import LOG
from galvote.serve.protocol import LimitedProtocol
from galvote.serve.settings import ServeSettings

JSON_LINES: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "message"],
            "rename_fields": {"levelname": "level", "name": "logger", "message": "event"},
            "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
            "timestamp": "time",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"galvote.serve": {"level": "INFO"}, "uvicorn.error": {"level": "INFO"}},
}
"""Logs on standard error, a JSON object a line."""


def configure_server(
    predictors: Sequence[Predictor], settings: ServeSettings, *, spare_connections: int = 256
) -> uvicorn.Config:
    """Configure uvicorn to serve models, with some connections beyond the requests that may be open."""
    limits = {
        "header_timeout": min(settings.stall, settings.timeout),
        "max_connections": settings.requests + spare_connections,
    }
    return uvicorn.Config(
        create_app(predictors, settings),
        http=type("Protocol", (LimitedProtocol,), limits),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(settings.timeout) + 1,
    )


def run_server(predictors: Sequence[Predictor], settings: ServeSettings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests that are open then are answered first.

    Raises
    ------
    GalvoteError
        If the address cannot be listened on.
    """
    dictConfig(JSON_LINES)
    config = configure_server(predictors, settings)
    listener = _listen(host, port)
    address, taken = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{taken}/"
    LOG.info("listening", extra={"url": url})
    # uvicorn answers what is open and then raises the signal again: SIGTERM is no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    # NumPy's own threads would spin on the networks' cores; see galvote.inference.pipeline.
    with listener, threadpool_limits(1, user_api="blas"):
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends without delay only where the protocol is named; else a body waits 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)  # whoever comes before the models are warm waits a moment
    except OSError as error:
        if listener:
            listener.close()
        raise GalvoteError(
            f"Port {port} of {host} cannot be listened on ({error}); choose another with --port or --host."
        ) from error
    return listener
