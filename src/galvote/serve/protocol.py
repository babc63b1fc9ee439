"""HTTP/1.1 as uvicorn speaks it, with limits on what is no request yet and errors in the API's form."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from galvote.serve.errors import RequestError, busy


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol, which alone would wait for ever for the end of a header."""

    header_timeout = 10.0
    """Seconds within which a request must begin, its header complete."""

    max_connections = 512
    """Connections beyond which others are refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # noqa: D102
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(busy(f"{len(self.connections)} connections are open."))
        else:
            self._start_timer()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._header_timer is None:  # the next header, or the rest of a body that was refused
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: D102
        message = "This is no HTTP/1.1 request, or its header is longer than 64 kB; send a shorter one."
        self._refuse(RequestError(400, "malformed", message))

    def _start_timer(self) -> None:
        message = f"No request came within {self.header_timeout:g} seconds; ask again."
        error = RequestError(408, "timeout", message)
        self._header_timer = self.loop.call_later(self.header_timeout, self._refuse, error)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _refuse(self, error: RequestError) -> None:
        if not self.transport.is_closing() and (self.cycle is None or not self.cycle.response_started):
            response = error.response()
            status = f"HTTP/1.1 {error.code} {HTTPStatus(error.code).phrase}".encode()
            headers = [b": ".join(header) for header in response.raw_headers]
            body = bytes(response.body)
            self.transport.write(b"\r\n".join([status, *headers, b"connection: close", b"", body]))
        self.transport.close()
