"""Who may ask, and what a browser may do with an answer."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galvote.serve.refusals import RefusalError

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

PROTECTED = ("/v1/", "/metrics")
"""Paths that want a token, where there are any."""


class Tokens:
    """The tokens that may ask.

    Parameters
    ----------
    tokens
        Of which a request must bear one; if there are none, everybody may ask.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def check(self, path: str, headers: Headers) -> None:
        """Raise the refusal of a request that bears none of them.

        Notes
        -----
        Digests of one length are compared, each in constant time, and all of them: how long it takes says
        nothing of how close a guess came.
        """
        if not self._digests or not path.startswith(PROTECTED):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip())
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if scheme.lower() != "bearer" or not any(matches):
            raise RefusalError(
                401,
                "unauthorized",
                "This server wants a token; send it in a header: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
