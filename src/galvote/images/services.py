"""Images by position from the public cutout services of SDSS and of the Legacy Surveys."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import numpy as np
from platformdirs import user_cache_path

from galvote.errors import GalvoteError, ImageError, OutputError
from galvote.images.decode import decode_image
from galvote.images.geometry import FRAME_PIXELS, FRAME_WIDTH
from galvote.images.limits import refuse_nowhere
from galvote.io.atomic import write_whole
from galvote.io.positions import Coordinates

_FLAT = 4  # levels of 255 that an image without anything on it may vary by
_LARGEST = 20_000_000  # bytes of an answer
_LONGEST_PAUSE = 60.0  # seconds; a service that wants more is left alone
_GIVE_UP_AFTER = 10  # galaxies in a row without an answer
_RETRIED = {408, 425, 429}  # beside what is the server's own fault
_NOT_THERE = {404, 410}


SURVEYS: Mapping[str, str] = {
    # https://skyserver.sdss.org/dr18/en/help/docs/api.aspx, GetJpeg; between 64 and 2048 pixels.
    "sdss": "https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout/getjpeg"
    "?ra={ra:.7f}&dec={dec:.7f}&scale={scale:.6g}&width={pixels}&height={pixels}",
    # https://www.legacysurvey.org/dr10/description, viewer cutouts; up to 3000 pixels.
    "legacy": "https://www.legacysurvey.org/viewer/cutout.jpg"
    "?ra={ra:.7f}&dec={dec:.7f}&layer=ls-dr10&pixscale={scale:.6g}&size={pixels}",
}
"""Services that answer with a JPEG: URLs for ra and dec in degrees, arcseconds a pixel, and pixels."""


@dataclass(frozen=True, eq=False)
class CutoutService:
    """A cutout service, asked with patience; each image that it gives is kept on the disk.

    Several threads may ask at a time: they share the rate, and the pauses that the service asks for. Another
    process, to which it is pickled, has a rate of its own.
    """

    survey: str  # one of `SURVEYS`
    cache: Path = field(default_factory=lambda: user_cache_path("galvote"))  # by the hash of the URL
    url: str | None = None  # another address of the service, also with a query whose parts replace ours
    rate: float = 2.0  # requests a second, at most
    connections: int = 4  # requests at a time, at most
    timeout: float = 30.0  # seconds after which an answer that is not whole has failed
    attempts: int = 5
    pause: float = 1.0  # seconds before the second attempt, then about doubled, or what the service asks for
    _pace: "_Pace" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.survey not in SURVEYS:
            raise GalvoteError(f"There is no survey {self.survey!r}; choose one of {', '.join(SURVEYS)}.")
        if urlsplit(self._url).scheme not in ("http", "https"):
            raise GalvoteError(
                f"{self.url} is no address of a service: it must begin with https:// or http://."
            )
        object.__setattr__(self, "_pace", _Pace(self.rate, self.connections))

    @property
    def name(self) -> str:
        """The survey and the address of its service."""
        return f"{self.survey} ({self._url})"

    @property
    def _url(self) -> str:
        return self.url or SURVEYS[self.survey].partition("?")[0]

    def images(
        self, ra: Coordinates, dec: Coordinates, r90: Coordinates
    ) -> list[Callable[[], tuple[bytes, ...]]]:
        """Return what fetches each galaxy's JPEG, a GZ2 frame of 424 × 424 pixels, as `SkyField.images` does.

        It may raise `ImageError`: ``no-position``, ``no-size``, ``missing`` (the service says that there is
        no such image), ``outside`` (it shows nothing), ``unavailable`` (the service did not give a whole
        one; after ten galaxies in a row it is not asked any more).
        """
        places = zip(ra.tolist(), dec.tolist(), r90.tolist(), strict=True)
        return [partial(self._image, *place) for place in places]

    def close(self) -> None:
        """Ask no more: whoever waits for the service gets ``unavailable``."""
        self._pace.closed.set()

    def address(self, ra: float, dec: float, r90: float) -> str:
        """Return the URL of a galaxy's image; ra and dec in degrees, r90 in arcseconds."""
        scale = r90 * FRAME_WIDTH / FRAME_PIXELS
        ours = urlsplit(SURVEYS[self.survey].format(ra=ra, dec=dec, scale=scale, pixels=FRAME_PIXELS)).query
        parts = urlsplit(self._url)
        return urlunsplit(parts._replace(query=urlencode(dict(parse_qsl(ours) + parse_qsl(parts.query)))))

    def _image(self, ra: float, dec: float, r90: float) -> tuple[bytes, ...]:
        refuse_nowhere(ra, dec, r90)
        address = self.address(ra, dec, r90)
        name = hashlib.sha256(address.encode()).hexdigest()
        kept = self.cache / name[:2] / f"{name}.jpg"
        try:
            data = kept.read_bytes()
            image = decode_image(data)
        except (OSError, ImageError):
            data = self._fetch(address)
            image = decode_image(data)
            with suppress(OutputError):  # an image that cannot be kept is none the worse
                write_whole(kept, data, unique=True)
        if np.ptp(image) <= _FLAT:
            raise ImageError(
                "outside", f"The image shows nothing: the position is outside the survey {self.survey}."
            )
        return (data,)

    def _fetch(self, address: str) -> bytes:
        """Return a whole image, or raise `ImageError`."""
        pace, host = self._pace, urlsplit(address).netloc
        reason = f"it gave nothing for {_GIVE_UP_AFTER} galaxies before this one"
        for attempt in range(self.attempts if pace.failures < _GIVE_UP_AFTER else 0):
            if attempt:
                pace.closed.wait(self.pause * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))
            if pace.closed.is_set():
                reason = "it is not asked any more"
                break
            try:
                with pace:
                    data = _ask(address, self.timeout)
                pace.failures = 0
                return data
            except _NoAnswerError as failure:
                reason = failure.reason
                if failure.code in _NOT_THERE:
                    pace.failures = 0
                    raise ImageError("missing", f"{host} has no such image: {reason}.") from failure
                if failure.final or failure.wait > _LONGEST_PAUSE:
                    break
                pace.rest(failure.wait)
        pace.failures += 1
        raise ImageError("unavailable", f"{host} did not give the image: {reason}. Run the same again later.")


class _NoAnswerError(Exception):
    """Why there is no image: with the code of the answer, and how many seconds it wants to be left alone."""

    def __init__(self, reason: str, code: int | None = None, wait: float = 0.0, final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.code, self.wait = reason, code, wait
        self.final = final or (code is not None and code not in _RETRIED and code < 500)


class _Pace:
    """Holds those who ask to a rate and to a number at a time; enter it for each request.

    ``failures`` is how many galaxies in a row got no answer. Once it is ``closed``, nobody waits any more.
    """

    def __init__(self, rate: float, connections: int) -> None:
        self.failures = 0
        self.closed = threading.Event()
        self._settings = rate, connections
        self._turns = threading.Lock()
        self._places = threading.BoundedSemaphore(connections)
        self._next = 0.0

    def __reduce__(self) -> "tuple[type[_Pace], tuple[float, int]]":
        return _Pace, self._settings

    def __enter__(self) -> None:
        self._places.acquire()
        while not self.closed.is_set():
            with self._turns:
                pause = self._next - time.monotonic()
                if pause <= 0:
                    self._next = time.monotonic() + 1 / self._settings[0]
                    return
            self.closed.wait(pause)

    def __exit__(self, *_: object) -> None:
        self._places.release()

    def rest(self, seconds: float) -> None:
        """Let nobody ask for so long, not even those who wait for their turn."""
        with self._turns:
            self._next = max(self._next, time.monotonic() + seconds)


def _ask(address: str, timeout: float) -> bytes:
    """Ask once, or raise `_NoAnswerError`."""
    deadline = time.monotonic() + timeout
    late = f"its answer takes more than {timeout:g} s"
    try:
        with urlopen(Request(address, headers={"User-Agent": "galvote"}), timeout=timeout) as answer:
            announced, kind = answer.headers.get("Content-Length"), answer.headers.get_content_type()
            body = b""
            while part := answer.read1(1 << 16):
                body += part
                if len(body) > _LARGEST:
                    raise _NoAnswerError(f"it sends more than {_LARGEST / 1e6:g} MB", final=True)
                if time.monotonic() > deadline:
                    raise _NoAnswerError(late)
    except HTTPError as error:
        with error:
            wait = _seconds(error.headers.get("Retry-After"))
            raise _NoAnswerError(f"it answers {error.code} {error.reason}", error.code, wait) from error
    except TimeoutError as error:
        raise _NoAnswerError(late) from error
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", None) or repr(error)
        raise _NoAnswerError(f"it cannot be reached, or breaks off ({why})") from error
    if announced and announced.isdecimal() and len(body) < int(announced):
        raise _NoAnswerError(f"it breaks off after {len(body)} of {announced} bytes")
    try:
        decode_image(body)
    except ImageError as error:
        raise _NoAnswerError(f"it sends {kind}, and no whole image ({error.status})") from error
    return body


def _seconds(retry_after: str | None) -> float:
    """Return what a ``Retry-After`` asks for, in seconds from now: it may be a number or a date."""
    if not retry_after:
        return 0.0
    with suppress(ValueError):
        return max(float(retry_after), 0.0)
    with suppress(ValueError, TypeError):
        date = parsedate_to_datetime(retry_after)
        return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0
