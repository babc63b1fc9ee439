"""HTTP/1.1 as uvicorn speaks it, with limits on what is not a request yet."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from galvote.serve.refusals import RefusalError, busy, describe_refusal
from galvote.serve.settings import ServeSettings

_IDLE = 256
"""Connections beyond the requests that may be open."""


def make_protocol(settings: ServeSettings) -> type[H11Protocol]:
    """Return the protocol with a server's limits.

    uvicorn waits for ever for the end of a header, and answers what it cannot read in plain text. This one
    closes a connection on which no request has begun after ``settings.stall`` seconds, refuses connections
    that are too many, and answers in the API's form.
    """

    class LimitedProtocol(H11Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._impatience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > settings.requests + _IDLE:
                self._refuse(busy(f"{len(self.connections)} connections are open."))
            else:
                self._wait_for_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            elif self._impatience is None:
                # A header, or the rest of a body that was refused.
                self._wait_for_request()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._refuse(
                RefusalError(
                    400,
                    "malformed",
                    "This is no HTTP/1.1 request, or its header is longer than 64 kB; send a shorter one.",
                )
            )

        def _wait_for_request(self) -> None:
            self._impatience = self.loop.call_later(settings.stall, self._give_up)

        def _stop_waiting(self) -> None:
            if self._impatience is not None:
                self._impatience.cancel()
                self._impatience = None

        def _give_up(self) -> None:
            self._refuse(
                RefusalError(408, "timeout", f"No request came within {settings.stall:g} seconds; ask again.")
            )

        def _refuse(self, refusal: RefusalError) -> None:
            if self.transport.is_closing():
                return
            if self.cycle is None or not self.cycle.response_started:
                body = describe_refusal(refusal).encode()
                headers = {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    "Connection": "close",
                    **refusal.headers,
                }
                lines = [f"HTTP/1.1 {refusal.code} Refused", *(f"{k}: {v}" for k, v in headers.items())]
                self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
            self.transport.close()

    return LimitedProtocol
