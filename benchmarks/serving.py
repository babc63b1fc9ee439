"""How many pictures a server answers a second, and how long one waits.

    python benchmarks/serving.py [--models galvote-small galvote-base] [--seconds 10]

A real `galvote serve` process on the loopback address is asked by 1, 8 and 64 connections of wrk
(github.com/wg/wrk; Debian has it), each of which sends one picture (a JPEG of 424 × 424 pixels, drawn) and
waits for the answer before it sends the next. That is done with concurrent requests run together and, beside
it, with each request by itself (`--batch 1`). wrk shares the machine with the server. A Markdown table is
printed.

Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from galvote.serve.examples import EXAMPLES, draw_example

BOUNDARY = "galvote"

WRK = """
function init(files)
  bodies, asked = {}, 0
  for number, path in ipairs(files) do
    local file = io.open(path, "rb")
    bodies[number] = file:read("*a")
    file:close()
  end
end
function request()
  asked = asked + 1
  local headers = {["Content-Type"] = "multipart/form-data; boundary=galvote"}
  return wrk.format("POST", nil, headers, bodies[asked % #bodies + 1])
end
function done(all, took)
  local numbers = {all.requests, all.errors.status, all.duration, took:percentile(50), took:percentile(99)}
  io.write("\\n" .. table.concat(numbers, " "))
end
"""
"""Which requests wrk sends; its last line are counts of answers and refusals, then microseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["galvote-small", "galvote-base"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("This needs wrk: apt install wrk, or see github.com/wg/wrk.")

    print("| model | requests are run | clients | pictures/s | p50 | p99 | refused | galaxies a run |")
    print("|---|---|---|---|---|---|---|---|")
    for model in options.models:
        for how, batch in (("together", 64), ("one at a time", 1)):
            with serve("--model", model, "--batch", str(batch)) as (_, port):
                load(port, 4, 2)  # warm
                for clients in options.clients:
                    before = counts(port)
                    done = load(port, clients, options.seconds)
                    runs, galaxies = (now - then for now, then in zip(counts(port), before, strict=True))
                    print(
                        f"| `{model}` | {how} | {clients} | {done.rate:.0f} | {done.p50:.1f} ms | "
                        f"{done.p99:.1f} ms | {done.refused} | {galaxies / max(runs, 1):.1f} |",
                        flush=True,
                    )


class Load(NamedTuple):
    """Pictures answered in a second, milliseconds that half and 99 % of requests took, and refusals."""

    rate: float
    p50: float
    p99: float
    refused: int


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


def load(port: int, clients: int, seconds: int) -> Load:
    """Let wrk ask for some time."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "pictures.lua"
        script.write_text(WRK)
        bodies = [Path(folder) / name for name in EXAMPLES]
        for name, body in zip(EXAMPLES, bodies, strict=True):
            body.write_bytes(body_of(draw_example(name)))
        address = f"http://127.0.0.1:{port}/v1/predict"
        clock = ["-t1", f"-c{clients}", f"-d{seconds}s", "--timeout=60s"]
        command = ["wrk", *clock, "-s", str(script), address, "--", *map(str, bodies)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answers, refused, took, p50, p99 = map(float, said.splitlines()[-1].split())
    return Load((answers - refused) / took * 1e6, p50 / 1000, p99 / 1000, round(refused))


def body_of(image: bytes, field: str = "files", name: str = "a.jpg") -> bytes:
    """Return the body of a request with one picture."""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + image
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


def request_of(image: bytes, path: str = "/v1/predict", field: str = "files", name: str = "a.jpg") -> bytes:
    """Return a whole request with one picture."""
    body = body_of(image, field, name)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    return head.encode() + body


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
