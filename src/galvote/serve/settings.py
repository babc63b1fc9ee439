"""What a server allows and how it works."""

import re
from dataclasses import dataclass, field

from galvote.errors import GalvoteError

SHORTEST_TOKEN = 16
MAX_TTA = 16
BODIES = 8
"""All bodies in memory together may be so many times as large as one."""


@dataclass(frozen=True)
class ServeSettings:
    """Limits and tokens of a server.

    Parameters
    ----------
    max_megabytes
        Largest body of a request. All bodies in memory together may have `BODIES` times as much.
    max_pixels
        Images whose header announces more are refused before a pixel is decoded.
    max_files
        Most images in one request.
    timeout
        Seconds from a request's first byte to its answer.
    stall
        Seconds that an upload may pause.
    queue
        Most images that wait for a network, each counted once for every orientation.
    requests
        Most requests that send images or wait for their answer at the same time.
    batch_wait
        Seconds that a batch waits at most for images that are still being decoded.
    batch
        Most images, times orientations, that a network takes at once; 1 is one request at a time.
    tokens
        A request must bear one of them; none is needed if there are none.
    origins
        Whose pages, besides the server's own, may ask from a browser: ``https://example.org``, or ``*``.

    Raises
    ------
    GalvoteError
        If a limit leaves nothing to do.
    """

    max_megabytes: float = 64.0
    max_pixels: int = 25_000_000
    max_files: int = 256
    timeout: float = 60.0
    stall: float = 10.0
    queue: int = 4096
    requests: int = 256
    batch_wait: float = 0.005
    batch: int = 64
    tokens: tuple[str, ...] = field(default=(), repr=False)
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        others = ("tokens", "origins", "batch_wait")
        limits = {name: value for name, value in vars(self).items() if name not in others}
        if wrong := [name for name, value in limits.items() if not value > 0]:
            raise GalvoteError(f"{', '.join(wrong)} must be more than 0, or no request could be answered.")
        if self.batch_wait < 0:
            raise GalvoteError("A batch cannot wait for less than no time; set its wait to 0 or more.")
        if any(len(token) < SHORTEST_TOKEN for token in self.tokens):
            raise GalvoteError(
                f"A token needs {SHORTEST_TOKEN} characters or more, or it can be guessed; "
                "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )

        if wrong := [one for one in self.origins if not re.fullmatch(r"https?://[^/\s]+|\*", one)]:
            raise GalvoteError(
                f"{wrong[0]!r} is no origin; write it as a browser does, without a path: https://example.org"
            )

    @property
    def max_bytes(self) -> int:
        """Largest body of a request in bytes."""
        return int(self.max_megabytes * 1e6)
