"""Errors of requests: one JSON form for all of them, with a message that helps."""

import re
from collections.abc import Mapping

from starlette.responses import Response

from galvote.errors import GalvoteError, ImageError
from galvote.serve.schema import Problem, ProblemAnswer

RETRY_AFTER = 2
"""Seconds after which a busy server should be asked again."""


class RequestError(GalvoteError):
    """A request that cannot be answered as asked.

    Parameters
    ----------
    code
        The HTTP status.
    status
        One word for a program: ``too-large``, ``busy``, …
    message
        A sentence for a person: what is wrong and what to do next.
    headers
        Headers that the response needs.
    """

    def __init__(
        self, code: int, status: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the response in the API's form: JSON with the status word and the message."""
        body = ProblemAnswer(error=Problem(status=self.status, message=self.message)).model_dump_json()
        return Response(body, self.code, self.headers, "application/json")


def in_api_words(error: ImageError) -> ImageError:
    """Return an error that names parameters where its own words name options of the command line."""
    reason = re.sub(r" \(in Python, \w+=\)", "", error.reason)
    return ImageError(error.status, re.sub("--(?=bands|stretch)", "", reason))


def busy(reason: str) -> RequestError:
    """Return the error of a server without room for another request; a sentence says what is full."""
    message = f"{reason} Ask again in {RETRY_AFTER} seconds."
    return RequestError(503, "busy", message, {"Retry-After": str(RETRY_AFTER)})
