"""How many pictures a server answers a second, and how long one waits.

    python benchmarks/serving.py [--models galvote-small galvote-base] [--seconds 10]

A real `galvote serve` process on the loopback address is asked by 1, 8 and 64 clients, each of which sends
one picture (a JPEG of 424 × 424 pixels, drawn) and waits for the answer before it sends the next. That is
done with concurrent requests run together and, beside it, with each request by itself (`--batch 1`). The
clients have a process of their own, but share the machine with the server. A Markdown table is printed.

Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from galvote.serve.examples import EXAMPLES, draw_example

BOUNDARY = "galvote"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["galvote-small", "galvote-base"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    options = parser.parse_args()

    print("| model | requests are run | clients | pictures/s | p50 | p99 | refused | galaxies a run |")
    print("|---|---|---|---|---|---|---|---|")
    for model in options.models:
        for how, batch in (("together", 64), ("one at a time", 1)):
            with serve("--model", model, "--batch", str(batch)) as (_, port):
                asyncio.run(load(port, 4, 2.0))  # warm
                for clients in options.clients:
                    before = counts(port)
                    seconds, refused = asyncio.run(load(port, clients, options.seconds))
                    runs, galaxies = (now - then for now, then in zip(counts(port), before, strict=True))
                    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
                    print(
                        f"| `{model}` | {how} | {clients} | {len(seconds) / options.seconds:.0f} | "
                        f"{p50:.1f} ms | {p99:.1f} ms | {refused} | {galaxies / max(runs, 1):.1f} |",
                        flush=True,
                    )


@contextmanager
def serve(*options: str) -> Iterator[tuple[int, int]]:
    """Run a server; yield its process id and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "galvote", "serve", "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        assert process.stderr
        for line in process.stderr:
            said = json.loads(line) if line.startswith("{") else {}
            if said.get("event") == "listening":
                port = int(said["url"].rstrip("/").rpartition(":")[2])
            if said.get("event") == "ready":
                break
        else:
            sys.exit(f"galvote serve ended with status {process.wait()}")
        # Whoever writes a log must be read, or waits.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()
    drain.wait()


def request_of(picture: bytes, path: str = "/v1/predict", field: str = "files", name: str = "a.jpg") -> bytes:
    """Return a whole request with one picture."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + picture
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, clients: int, seconds: float) -> tuple[list[float], int]:
    """Let clients ask for some time; return how long each answer took, and how many were refused."""
    requests = [request_of(draw_example(name)) for name in EXAMPLES]
    until = time.monotonic() + seconds
    took = list[float]()
    refused = 0

    async def ask(number: int) -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.monotonic()) < until:
            writer.write(requests[number % len(requests)])
            await writer.drain()
            status = await read_answer(reader)
            if status == 200:
                took.append(time.monotonic() - began)
            else:
                refused += 1
            number += 1
        writer.close()

    await asyncio.gather(*(ask(number) for number in range(clients)))
    return took, refused


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])


def counts(port: int) -> tuple[float, float]:
    """Return how often networks have run, and over how many galaxies all in all."""
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(values["galvote_batch_galaxies_count"]), float(values["galvote_batch_galaxies_sum"])


if __name__ == "__main__":
    main()
