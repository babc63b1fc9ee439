"""Pictures out of the body of a request, within its limits: nothing is kept that will be refused."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from galvote.serve.refusals import RefusalError, busy, unsupported
from galvote.serve.settings import TOGETHER, ServeSettings

_MAX_FIELDS = 16
_RAW = ("image/", "application/fits", "application/octet-stream", "application/gzip")
_NAME_LENGTH = 200


@dataclass(frozen=True)
class Upload:
    """One file of a request: its name without a path, and its bytes."""

    name: str
    data: bytes = field(repr=False)


class UploadRoom:
    """Bytes of all requests that are in memory at once, and the limits of each."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.held = 0

    @asynccontextmanager
    async def receive(
        self, request: Request, until: float, *, max_files: int | None = None
    ) -> AsyncIterator[list[Upload]]:
        """Receive the pictures of a request, and hold them as long as the ``with`` block runs.

        Parameters
        ----------
        until
            Of the event loop's clock; an upload that takes longer is refused.
        max_files
            Most pictures; the settings' number if not given.

        Raises
        ------
        RefusalError
            400 malformed, 408 too slow, 413 too many bytes or files, 415 no pictures, 422 empty, 503 no room.
        """
        kind = request.headers.get("content-type", "")
        most = max_files or self.settings.max_files
        bare = kind.partition(";")[0].strip().lower()
        if bare == "multipart/form-data":
            form: _Form | _Raw = _Form(kind, most)
        elif bare.startswith(_RAW):
            form = _Raw()
        else:
            raise unsupported(bare)
        self._refuse_long(request.headers.get("content-length", ""))
        size = 0
        try:
            async for chunk in self._chunks(request, until):
                if size + len(chunk) > self.settings.max_bytes:
                    raise self._too_large()
                if self.held + len(chunk) > TOGETHER * self.settings.max_bytes:
                    raise busy("Other requests fill the memory.")
                size += len(chunk)
                self.held += len(chunk)
                form.write(chunk)
            files = form.finish()
            if not files:
                raise RefusalError(422, "no-files", "The request holds no picture; send at least one.")
            yield files
        finally:
            self.held -= size

    async def _chunks(self, request: Request, until: float) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        stream = aiter(request.stream())
        while True:
            try:
                async with asyncio.timeout(max(0.0, min(self.settings.stall, until - clock()))):
                    yield_chunk = await anext(stream)
            except TimeoutError as error:
                raise RefusalError(
                    408,
                    "timeout",
                    f"The upload paused for {self.settings.stall:g} seconds, or took longer than "
                    f"{self.settings.timeout:g}; send fewer pictures at once, or over a faster connection.",
                    {"Connection": "close"},
                ) from error
            except (StopAsyncIteration, ClientDisconnect):
                return
            yield yield_chunk

    def _refuse_long(self, announced: str) -> None:
        if announced.isdecimal() and int(announced) > self.settings.max_bytes:
            raise self._too_large()

    def _too_large(self) -> RefusalError:
        return RefusalError(
            413,
            "too-large",
            f"The body has more than {self.settings.max_megabytes:g} MB; send fewer or smaller pictures.",
        )


class _Raw:
    """A body that is one picture."""

    def __init__(self) -> None:
        self._data = io.BytesIO()

    def write(self, chunk: bytes) -> None:
        self._data.write(chunk)

    def finish(self) -> list[Upload]:
        data = self._data.getvalue()  # no copy, as the bytes of a bytearray would be
        return [Upload("image", data)] if data else []


class _Form:
    """A multipart form: its files are kept, other fields are counted and dropped."""

    def __init__(self, content_type: str, max_files: int) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise RefusalError(
                400, "malformed", "The multipart body has no boundary; let a library write it."
            )
        self._max_files = max_files
        self._files = list[tuple[str, io.BytesIO]]()
        self._fields = 0
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._into: io.BytesIO | None = None
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._keep,
                "on_header_field": self._name_header,
                "on_header_value": self._value_header,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise self._malformed() from error

    def finish(self) -> list[Upload]:
        if not self._ended:
            raise self._malformed()
        return [Upload(name, data.getvalue()) for name, data in self._files]

    def _malformed(self) -> RefusalError:
        return RefusalError(
            400,
            "malformed",
            "The multipart body is cut short or malformed; send it again, written by a library.",
        )

    def _begin(self) -> None:
        self._disposition = b""
        self._into = None

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _value_header(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _end_header(self) -> None:
        name, value = map(bytes, self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (bytearray(), bytearray())

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise RefusalError(413, "too-many-fields", "Send pictures only; the form has other fields.")
            return
        if len(self._files) == self._max_files:
            raise RefusalError(
                413,
                "too-many-files",
                f"The request holds more than {self._max_files} pictures; send the others in another one.",
            )
        name = options[b"filename"].decode("utf-8", "replace")
        self._into = io.BytesIO()
        self._files.append((safe_name(name), self._into))

    def _keep(self, data: bytes, start: int, end: int) -> None:
        if self._into is not None:
            self._into.write(data[start:end])

    def _end(self) -> None:
        self._ended = True


def safe_name(name: str) -> str:
    """Return a client's file name without its path and without characters that are not printable."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in base if letter.isprintable())[:_NAME_LENGTH] or "image"
