"""What a server answers to those who mean it no good, and whether its memory stays where it is under load.

    python -m benchmarks.robustness.server attacks
    python -m benchmarks.robustness.server soak --minutes 4

Attacks are made on a real `galvote serve` process over a socket. A table shows what came back, after how
long, how much memory the server held at its most since it started, and whether it then predicted a galaxy as
before. In a soak, clients send images, broken files and wide images, and ask why and how it turns; a table
shows the resident memory as time goes on, and the answers by status.
"""

import gzip
import io
import json
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPException, HTTPResponse

import numpy as np
from astropy.io import fits
from PIL import Image

from benchmarks import common
from benchmarks.speed.serving import FORM, post, request_of, serve
from galvote.serve.examples import EXAMPLES
from galvote.simulate import simulate_galaxies

GALAXY = EXAMPLES["spiral"].read_bytes()
SILENCE = 30  # seconds; the server itself waits ten for the next piece
CLIENTS, ROWS = 8, 10  # of a soak and its table


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("what", choices=["attacks", "soak"])
    options.add_argument("--minutes", type=float, default=4, help="of the soak")
    chosen = options.parse_args()
    common.print_heading()
    with serve("--model", "galvote-small") as (process, port):
        if chosen.what == "soak":
            soak(process, port, 60 * chosen.minutes)
        else:
            attack(process, port)


def attack(process: int, port: int) -> None:
    expected = ask(port, request_of(GALAXY))
    table = common.Table("attack | answer | after | most memory so far | then")
    for name, make in ATTACKS.items():
        data = make()
        began = time.monotonic()
        said = ask_beside_silence(port) if data is None else describe(*ask(port, data))
        took = time.monotonic() - began
        after = "as before" if ask(port, request_of(GALAXY)) == expected else "**broken**"
        table.row(name, said, f"{took:.1f} s", f"{common.memory(process, 'VmHWM'):.0f} MiB", after)


def ask(port: int, data: bytes) -> tuple[int, bytes]:
    """Send bytes; return the status and body of the answer, or 0 and what is wrong."""
    with socket.create_connection(("127.0.0.1", port), timeout=SILENCE) as connection:
        with suppress(OSError):  # a server may hang up before it has heard everything
            connection.sendall(data)
        answer = HTTPResponse(connection)
        try:
            answer.begin()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            return 0, str(error).encode()


def describe(status: int, body: bytes) -> str:
    """Return status and, of JSON, the word for it."""
    try:
        content = json.loads(body)
    except ValueError:
        return str(status or f"nothing: {body.decode()}")
    if "error" in content:
        return f"{status} `{content['error']['status']}`"
    return "{}, row `{status}`, id `{id}`".format(status, **content["galaxies"][0])


def chunked(megabytes: int) -> bytes:
    head = post(b"", "image/png").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return head + (b"f4240\r\n" + bytes(1_000_000) + b"\r\n") * megabytes + b"0\r\n\r\n"


def fields(count: int, filename: str = "") -> bytes:
    part = f'--galvote\r\nContent-Disposition: form-data; name="files"{filename}\r\n\r\nx\r\n'
    return post((part * count + "--galvote--\r\n").encode(), FORM)


def png_bomb(pixels: int) -> bytes:
    """Return an image of 5,000 × 5,000 pixels that announces other numbers."""
    file = io.BytesIO()
    Image.new("RGB", (5000, 5000)).save(file, "PNG")
    data = file.getvalue()
    header = data[12:16] + struct.pack(">II", pixels, pixels) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def fits_bomb() -> bytes:
    """Return a file with an extension that announces 4 GB, which have to be unpacked to get past it."""
    file = io.BytesIO()
    fits.PrimaryHDU(np.zeros((64, 64), np.float32)).writeto(file)
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


def ask_beside_silence(port: int) -> str:
    """Open connections that say nothing; another client is answered meanwhile."""
    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        return f"another client is answered: {ask(port, request_of(GALAXY))[0]}"


ATTACKS: dict[str, Callable[[], bytes | None]] = {
    "decompression bomb: PNG of 60,000 × 60,000": lambda: request_of(png_bomb(60_000)),
    "decompression bomb: PNG just within the limit": lambda: request_of(png_bomb(5000)),
    "decompression bomb: 4 GB of zeros as gzipped FITS": lambda: request_of(fits_bomb()),
    "progressive JPEG of 20,000 scans": lambda: request_of(many_scans(20_000)),
    "truncated JPEG": lambda: request_of(GALAXY[: len(GALAXY) // 2]),
    "polyglot: JPEG and ZIP with a script": lambda: request_of(
        GALAXY + b"PK\x03\x04<script>alert(1)</script>"
    ),
    "polyglot: GIF header before a script": lambda: request_of(b"GIF89a/*<script>*/=alert(1)"),
    "PostScript, which some decoders run": lambda: request_of(b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n"),
    "request header of 1 MB": lambda: b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "part header of 1 MB": lambda: request_of(GALAXY, name="a" * 1_000_000),
    "wrong type: JSON": lambda: post(b'{"picture": 1}', "application/json"),
    "no boundary": lambda: post(b"abc", "multipart/form-data"),
    "path as a file name": lambda: request_of(GALAXY, name="../../../etc/passwd"),
    "path in the URL": lambda: b"GET /page/..%2f..%2fapp.py HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "10,000 files": lambda: fields(10_000, '; filename="a.jpg"'),
    "10,000 fields": lambda: fields(10_000),
    "100 MB announced": lambda: post(b"", "image/png", announced=100_000_000),
    "100 MB in chunks": lambda: chunked(100),
    "slow upload: one byte, then nothing": lambda: post(b"a", "image/png", announced=1000),
    "slow header: half a line, then nothing": lambda: b"GET /healthz HT",
    "not HTTP": lambda: bytes(range(256)) * 4 + b"\r\n\r\n",
    "content length that lies": lambda: post(b"abc", "image/png", announced=-1),
    "400 connections that say nothing": lambda: None,
}


def mixture() -> list[bytes]:
    """Return requests of all kinds; most of them are predictions."""
    images = [path.read_bytes() for path in EXAMPLES.values()]
    wide = io.BytesIO()
    galaxies = [galaxy.image for galaxy in simulate_galaxies(4, seed=7, pixels=424)]
    Image.fromarray(np.hstack(galaxies)).save(wide, "JPEG")
    return [
        *[request_of(image) for image in images] * 4,
        *[request_of(image[:900]) for image in images],
        request_of(b"not a picture"),
        request_of(images[0], "/v1/explain", "file"),
        request_of(images[0], "/v1/explain?method=integrated-gradients", "file"),
        request_of(images[0], "/v1/rotate", "file"),
        request_of(wide.getvalue(), "/v1/field", "file"),
    ]


def soak(process: int, port: int, seconds: float) -> None:
    """Ask, and print a row now and then."""
    requests, answers, began = mixture(), Counter[int](), time.monotonic()

    def go_on(number: int) -> None:
        while time.monotonic() < began + seconds:
            answers[ask(port, requests[number % len(requests)])[0]] += 1
            number += 7

    table = common.Table("after | resident memory | answers")
    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(go_on, number) for number in range(CLIENTS)]
        for row in range(ROWS + 1):
            time.sleep(max(0.0, began + row * seconds / ROWS - time.monotonic()))
            said = ", ".join(f"{n} × {code}" for code, n in sorted(answers.items())) or "none"
            table.row(f"{time.monotonic() - began:.0f} s", f"{common.memory(process):.0f} MiB", said)
        for one in asking:
            one.result()


if __name__ == "__main__":
    main()
