"""Whether the memory of a server under load for some minutes stays where it is.

    python benchmarks/serving_soak.py [--minutes 5] [--clients 8]

Clients send pictures, broken files and wide pictures to a real `galvote serve` process, and ask why and how
it turns. A Markdown table shows the resident memory as time goes on, and the answers by status.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from galvote.serve.examples import EXAMPLES, draw_example
from galvote.simulate import simulate_galaxies
from serving import read_answer, request_of, serve


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="galvote-small")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rows", type=int, default=10, help="of the table")
    options = parser.parse_args()
    with serve("--model", options.model) as (process, port):
        print("| after | resident memory | answers |\n|---|---|---|")
        asyncio.run(soak(process, port, options))


def mixture() -> list[bytes]:
    """Return requests of all kinds; most of them are predictions."""
    images = [draw_example(name) for name in EXAMPLES]
    field = io.BytesIO()
    galaxies = [galaxy.image for galaxy in simulate_galaxies(4, seed=7, pixels=424)]
    Image.fromarray(np.hstack(galaxies)).save(field, "JPEG")
    requests = [request_of(image) for image in images] * 4
    requests += [request_of(image[:900]) for image in images]
    requests += [request_of(b"not a picture"), request_of(images[0], "/v1/explain", "file")]
    requests += [request_of(images[0], "/v1/explain?method=integrated-gradients", "file")]
    requests += [
        request_of(images[0], "/v1/rotate", "file"),
        request_of(field.getvalue(), "/v1/field", "file"),
    ]
    return requests


async def soak(process: int, port: int, options: argparse.Namespace) -> None:
    """Ask, and print a row now and then."""
    requests, answers = mixture(), Counter[int]()
    began = time.monotonic()
    until = began + 60 * options.minutes

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            writer.write(requests[number % len(requests)])
            await writer.drain()
            answers[await read_answer(reader)] += 1
            number += 7
        writer.close()

    async def watch() -> None:
        for row in range(options.rows + 1):
            await asyncio.sleep(
                max(0.0, began + row * 60 * options.minutes / options.rows - time.monotonic())
            )
            said = ", ".join(f"{n} × {code}" for code, n in sorted(answers.items())) or "none"
            print(f"| {time.monotonic() - began:.0f} s | {resident(process):.0f} MiB | {said} |", flush=True)

    await asyncio.gather(watch(), *(ask(number) for number in range(options.clients)))


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
