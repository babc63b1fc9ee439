"""The server's process: uvicorn on one address, until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence

import uvicorn
from threadpoolctl import threadpool_limits

from galvote.errors import GalvoteError
from galvote.inference import Predictor
from galvote.serve.app import create_app
from galvote.serve.logs import log, write_json_lines
from galvote.serve.protocol import make_protocol
from galvote.serve.settings import ServeSettings


def run_server(predictors: Sequence[Predictor], settings: ServeSettings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests that are open then are answered first.

    Raises
    ------
    GalvoteError
        If the address cannot be listened on.
    """
    write_json_lines()
    app = create_app(predictors, settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=make_protocol(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(settings.timeout) + 1,
    )
    listener = _listen(host, port)
    address, taken = listener.getsockname()[:2]
    log("listening", url=f"http://{f'[{address}]' if ':' in address else address}:{taken}/")
    # uvicorn answers what is open and then raises the signal again: SIGTERM is no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    # NumPy's own threads would spin on the networks' cores; see galvote.inference.pipeline.
    with listener, threadpool_limits(1, user_api="blas"):
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends without delay only where the protocol is named; else an answer's body waits 40 ms.
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
