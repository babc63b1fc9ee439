"""Images out of the body of a request, within its limits: nothing is kept that will be refused."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.requests import ClientDisconnect, Request

from galvote.io.bands import Look
from galvote.io.sources import FitsFiles
from galvote.serve.errors import RequestError, busy
from galvote.serve.settings import BODIES, ServeSettings

_MAX_FIELDS = 16
_RAW = ("image/", "application/fits", "application/octet-stream", "application/gzip", "application/x-bzip2")
_NAME_LENGTH = 200
_IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": float("inf")}


@dataclass(frozen=True)
class Upload:
    """One file of a request."""

    name: str
    data: Any = field(repr=False)  # bytes, or `FitsFiles`


class Uploads:
    """The bodies of all requests that are in memory at once, and the limits of each."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.open = 0
        """Requests that send images or wait for their answer."""
        self.held = 0
        """Bytes in memory."""

    @asynccontextmanager
    async def receive(self, request: Request, max_files: int | None = None) -> AsyncIterator[list[Upload]]:
        """Receive the images of a request and hold them until the end of the ``with`` block."""
        if self.open >= self.settings.requests:
            raise busy(f"{self.open} requests are open.")
        until = asyncio.get_running_loop().time() + self.settings.timeout
        size = 0
        self.open += 1
        try:
            body = self._choose_body(request, max_files or self.settings.max_files)
            async for chunk in self._chunks(request, until):
                if size + len(chunk) > self.settings.max_bytes:
                    raise self._too_large()
                if self.held + len(chunk) > BODIES * self.settings.max_bytes:
                    raise busy("Other requests fill the memory.")
                size += len(chunk)
                self.held += len(chunk)
                body.write(chunk)
            files = body.finish()
            if not files:
                raise RequestError(422, "no-files", "The request holds no image; send at least one.")
            try:
                async with asyncio.timeout_at(until):
                    yield _shown(files, getattr(request.state, "look", Look()))
            except TimeoutError as error:
                raise RequestError(
                    504,
                    "timeout",
                    f"There was no answer within {self.settings.timeout:g} seconds; send fewer or smaller "
                    "images, or average fewer orientations.",
                ) from error
        finally:
            self.open -= 1
            self.held -= size

    def _choose_body(self, request: Request, max_files: int) -> _Form | _Raw:
        content_type = request.headers.get("content-type", "")
        bare = content_type.partition(";")[0].strip().lower()
        if bare != "multipart/form-data" and not bare.startswith(_RAW):
            raise RequestError(
                415,
                "unsupported",
                f"The body is {bare or 'of no declared type'}; send multipart/form-data with images in it, "
                "or the bytes of one image as image/jpeg, image/png, application/fits or the like.",
            )
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self.settings.max_bytes:
            raise self._too_large()
        return _Raw() if bare != "multipart/form-data" else _Form(content_type, max_files)

    async def _chunks(self, request: Request, until: float) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        stream = aiter(request.stream())
        while True:
            try:
                async with asyncio.timeout(max(0.0, min(self.settings.stall, until - clock()))):
                    chunk = await anext(stream)
            except TimeoutError as error:
                raise RequestError(
                    408,
                    "timeout",
                    f"The upload paused for {self.settings.stall:g} seconds, or took longer than "
                    f"{self.settings.timeout:g}; send fewer images at once, or over a faster connection.",
                    {"Connection": "close"},
                ) from error
            except (StopAsyncIteration, ClientDisconnect):
                return
            yield chunk

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            "too-large",
            f"The body has more than {self.settings.max_megabytes:g} MB; send fewer or smaller images.",
        )


def _shown(files: list[Upload], look: Look) -> list[Upload]:
    """Return files that are shown as the request's query says."""
    if look == Look():
        return files
    return [Upload(file.name, FitsFiles((file.data,), look)) for file in files]


class _Raw:
    """A body that is one image."""

    def __init__(self) -> None:
        self._data = io.BytesIO()
        self.write = self._data.write

    def finish(self) -> list[Upload]:
        data = self._data.getvalue()  # no copy, as the bytes of a bytearray would be
        return [Upload("image", data)] if data else []


class _Form:
    """A multipart form: its files are kept in memory, other fields are counted and dropped."""

    def __init__(self, content_type: str, max_files: int) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise RequestError(
                400, "malformed", "The multipart body has no boundary; let a library write it."
            )
        self._max_files = max_files
        self._files = list[Upload]()
        self._fields = 0
        self._complete = False
        self._parser = FormParser(
            "multipart/form-data", self._drop, self._keep, self._end, boundary, config=_IN_MEMORY
        )

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise self._malformed() from error

    def finish(self) -> list[Upload]:
        if not self._complete:
            raise self._malformed()
        return self._files

    def _drop(self, field: Field) -> None:
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise RequestError(413, "too-many-fields", "Send images only; the form has other fields.")

    def _keep(self, file: File) -> None:
        if len(self._files) == self._max_files:
            raise RequestError(
                413,
                "too-many-files",
                f"The request holds more than {self._max_files} images; send the others in another one.",
            )
        name = (file.file_name or b"").decode("utf-8", "replace")
        assert isinstance(file.file_object, io.BytesIO)
        self._files.append(Upload(safe_name(name), file.file_object.getvalue()))

    def _end(self) -> None:
        self._complete = True

    def _malformed(self) -> RequestError:
        message = "The multipart body is cut short or malformed; send it again, written by a library."
        return RequestError(400, "malformed", message)


def safe_name(name: str) -> str:
    """Clean a client's file name."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in base if letter.isprintable())[:_NAME_LENGTH] or "image"
