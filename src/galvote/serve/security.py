"""Who may ask, and what a browser may do with a response."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence

from fastapi import Request
from fastapi.security import HTTPBearer

from galvote.serve.errors import RequestError

POLICY = (
    "default-src 'none'; script-src 'self'{script}; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY.format(script=""),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every response."""


def allow_script(script: str) -> str:
    """Return a content security policy that allows one inline script."""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return POLICY.format(script=f" 'sha256-{digest}'")


class Tokens(HTTPBearer):
    """A dependency of routes that want a token."""

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(scheme_name="token", auto_error=False)
        self._digests = [_digest(token) for token in tokens]

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Refuse a request without a known token.

        Digests of one length are compared, each in constant time, and all of them: how long it takes tells
        nothing about how close a guess came.
        """
        given = await super().__call__(request)
        digest = _digest(given.credentials if given else "")
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise RequestError(
                401,
                "unauthorized",
                "This server wants a token; send it in a header: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.strip().encode()).digest()
