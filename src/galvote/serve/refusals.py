"""Requests that are not answered as asked: one shape for all of them, with a message that helps."""

from __future__ import annotations

from collections.abc import Mapping

from galvote.errors import GalvoteError
from galvote.serve.schema import Problem, ProblemAnswer

RETRY_AFTER = 2
"""Seconds after which a busy server should be asked again."""


class RefusalError(GalvoteError):
    """A request that is not answered as asked.

    Parameters
    ----------
    code
        The HTTP status.
    status
        One word for a program: ``too-large``, ``busy``, …
    message
        A sentence for a person: what is wrong and what to do next.
    headers
        Headers that the answer needs.
    """

    def __init__(
        self, code: int, status: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def describe_refusal(refusal: RefusalError) -> str:
    """Return the JSON that answers a request that is refused."""
    answer = ProblemAnswer(error=Problem(status=refusal.status, message=refusal.message))
    return answer.model_dump_json()


def busy(what: str) -> RefusalError:
    """Return the refusal of a server that has enough to do."""
    return RefusalError(
        503,
        "busy",
        f"{what} Ask again in {RETRY_AFTER} seconds.",
        {"Retry-After": str(RETRY_AFTER)},
    )


def unsupported(found: str) -> RefusalError:
    """Return the refusal of a body that holds no pictures."""
    return RefusalError(
        415,
        "unsupported",
        f"The body is {found or 'of no declared type'}; send multipart/form-data with pictures in it, or the "
        "bytes of one picture as image/jpeg, image/png, application/fits or the like.",
    )
