"""What a server answers to those who mean it no good, and whether it still answers the others.

    python benchmarks/hostile.py

Each attack is made on a real `galvote serve` process over a socket. A Markdown table shows what came back,
after how long, how much memory the server held at its most since it started, and whether it then predicted
a galaxy as before.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from astropy.io import fits
from PIL import Image

from galvote.serve.examples import draw_example
from serving import BOUNDARY, read_answer, request_of, serve

GALAXY = draw_example("spiral")
STALL = 10  # seconds that the server waits for the next piece


def main() -> None:
    attacks: dict[str, bytes | Callable[[int], bytes]] = {
        "decompression bomb: PNG of 60,000 × 60,000": request_of(png_bomb(60_000, 60_000)),
        "decompression bomb: PNG just within the limit": request_of(png_bomb(5000, 5000)),
        "decompression bomb: 4 GB of zeros as gzipped FITS": request_of(fits_bomb()),
        "progressive JPEG of 20,000 scans": request_of(many_scans(20_000)),
        "truncated JPEG": request_of(GALAXY[: len(GALAXY) // 2]),
        "polyglot: JPEG and ZIP with a script": request_of(GALAXY + b"PK\x03\x04<script>alert(1)</script>"),
        "polyglot: GIF header before a script": request_of(b"GIF89a/*<script>*/=alert(1)"),
        "PostScript, which some decoders run": request_of(b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n"),
        "request header of 1 MB": b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        "part header of 1 MB": request_of(GALAXY, name="a" * 1_000_000),
        "wrong type: JSON": post(b'{"picture": 1}', "application/json"),
        "no boundary": post(b"abc", "multipart/form-data"),
        "path as a file name": request_of(GALAXY, name="../../../etc/passwd"),
        "path in the URL": b"GET /page/..%2f..%2fapp.py HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "10,000 files": files(10_000),
        "10,000 fields": files(10_000, filename=False),
        "100 MB announced": post(b"", "image/png", announced=100_000_000),
        "100 MB in chunks": chunked(100),
        "slow upload: one byte, then nothing": post(b"a", "image/png", announced=1000),
        "slow header: half a line, then nothing": b"GET /healthz HT",
        "not HTTP": bytes(range(256)) * 4 + b"\r\n\r\n",
        "content length that lies": post(b"abc", "image/png", announced=-1),
        "400 connections that say nothing": many_connections,
    }
    with serve() as (process, port):
        expected = answer(port, request_of(GALAXY))
        print("| attack | answer | after | most memory so far | then |\n|---|---|---|---|---|")
        for name, attack in attacks.items():
            began = time.monotonic()
            said = attack(port) if callable(attack) else answer(port, attack)
            took = time.monotonic() - began
            after = "as before" if answer(port, request_of(GALAXY))[:12] == expected[:12] else "**broken**"
            print(
                f"| {name} | {describe(said)} | {took:.1f} s | {peak(process):.0f} MiB | {after} |",
                flush=True,
            )


def answer(port: int, data: bytes) -> bytes:
    """Send bytes, and return what comes back until the server or ten seconds of silence end it."""
    with socket.create_connection(("127.0.0.1", port), timeout=3 * STALL) as connection:
        with suppress(OSError):  # a server may hang up before it has heard everything
            connection.sendall(data)
        received = b""
        try:
            while not complete(received) and (part := connection.recv(65536)):
                received += part
        except OSError as error:
            return received or f"nothing: {error}".encode()
        return received


def complete(received: bytes) -> bool:
    """Return whether an answer is there to its end."""
    head, found, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(found and length and len(body) >= int(length))


def describe(said: bytes) -> str:
    """Return status and, of JSON, the word for it."""
    head, _, body = said.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/"):
        return said.decode(errors="replace")[:60] or "hung up"
    code = head.split()[1].decode()
    try:
        content = json.loads(body)
    except ValueError:
        return code
    if "error" in content:
        return f"{code} `{content['error']['status']}`"
    if "galaxies" in content:
        row = content["galaxies"][0]
        return f"{code}, row `{row['status']}`, id `{row['id']}`"
    return code


def peak(process: int) -> float:
    """Return the largest resident memory of a process in MiB."""
    return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def post(body: bytes, kind: str, announced: int | None = None) -> bytes:
    length = len(body) if announced is None else announced
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def chunked(megabytes: int) -> bytes:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    return (
        head
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + (b"f4240\r\n" + bytes(1_000_000) + b"\r\n") * megabytes
        + b"0\r\n\r\n"
    )


def files(count: int, filename: bool = True) -> bytes:
    name = '; filename="a.jpg"' if filename else ""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"{name}\r\n\r\nx\r\n'
    return post((part * count + f"--{BOUNDARY}--\r\n").encode(), f"multipart/form-data; boundary={BOUNDARY}")


def png_bomb(width: int, height: int) -> bytes:
    packer = zlib.compressobj(9)
    row = bytes(3 * width + 1)
    rows = min(height, 5000)
    pixels = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def fits_bomb() -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.zeros((64, 64), np.float32)).writeto(file)
    # An extension that announces 4 GB has to be unpacked to get past it.
    header = fits.ImageHDU(np.zeros((1, 1), np.uint8)).header
    header["NAXIS1"], header["NAXIS2"] = 65_536, 65_536
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as stream:
        stream.write(file.getvalue() + header.tostring().encode())
        for _ in range(4096):
            stream.write(bytes(1 << 20))
    return packed.getvalue()


def many_scans(count: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4096, 4096)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + b"\xff\xd9"


def many_connections(port: int) -> bytes:
    """Open connections that say nothing; another client is answered meanwhile."""

    async def open_and_ask() -> int:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of(GALAXY))
        code = await read_answer(reader)
        for _, other in silent:
            other.close()
        writer.close()
        return code

    return f"another client is answered: {asyncio.run(open_and_ask())}".encode()


if __name__ == "__main__":
    main()
