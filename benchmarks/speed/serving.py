"""How many images a server answers a second, and how long one waits.

    python -m benchmarks.speed.serving

A real `galvote serve` process on the loopback address is asked by 1, 8 and 64 connections of wrk
(github.com/wg/wrk; Debian has it), each of which sends an image (a JPEG of 424 × 424 pixels, simulated) and
waits for the answer before it sends it again. That is done with concurrent requests run together and, beside
it, with each request by itself (`--batch 1`). wrk shares the machine with the server; let nothing else run.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from benchmarks import common
from galvote.serve.examples import EXAMPLES

FORM = "multipart/form-data; boundary=galvote"
WRK = f"""
wrk.method, wrk.headers["Content-Type"] = "POST", "{FORM}"
function init(files) wrk.body = io.open(files[1], "rb"):read("*a") end
function done(all, took)
  local numbers = {{all.requests, all.errors.status, all.duration, took:percentile(50), took:percentile(99)}}
  io.write("\\n" .. table.concat(numbers, " "))
end
"""
"""Which request wrk sends; its last line are counts of answers and refusals, then microseconds."""


def main() -> None:
    options = common.parser(__doc__, "--models")
    options.add_argument("--seconds", type=int, default=10, help="of each measurement")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("This needs wrk: apt install wrk, or see github.com/wg/wrk.")
    common.print_heading()
    columns = "images/s | p50 | p99 | refused | galaxies a run"
    table = common.Table(f"model | requests are run | clients | {columns}")
    for model in chosen.models:
        for how, batch in (("together", "64"), ("one at a time", "1")):
            with serve("--model", model, "--batch", batch) as (_, port):
                load(port, 4, 2)  # warm
                for clients in (1, 8, 64):
                    before = counts(port)
                    measured = load(port, clients, chosen.seconds)
                    runs, galaxies = (now - then for now, then in zip(counts(port), before, strict=True))
                    table.row(f"`{model}`", how, clients, *measured, f"{galaxies / max(runs, 1):.1f}")


@contextmanager
def serve(*options: str) -> Iterator[tuple[int, int]]:
    """Run a server; yield its process id and its port."""
    with tempfile.NamedTemporaryFile("w+") as log:
        command = [*common.GALVOTE, "serve", "--port", "0", *options]
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            said = dict[str, dict[str, str]]()
            while "ready" not in said:
                if process.poll() is not None:
                    sys.exit(f"galvote serve ended with status {process.returncode}")
                lines = Path(log.name).read_text().splitlines()
                said = {line["event"]: line for line in map(json.loads, lines) if "event" in line}
            yield process.pid, int(said["listening"]["url"].rstrip("/").rpartition(":")[2])
        finally:
            process.terminate()
            process.wait()


def load(port: int, clients: int, seconds: int) -> tuple[str, str, str, int]:
    """Let wrk ask for some time; return images a second, median and 99th percentile, and refusals."""
    with tempfile.TemporaryDirectory() as folder:
        script, body = Path(folder) / "load.lua", Path(folder) / "body"
        script.write_text(WRK)
        body.write_bytes(body_of(EXAMPLES["spiral"].read_bytes()))
        clock = ["-t1", f"-c{clients}", f"-d{seconds}s", "--timeout=60s"]
        command = ["wrk", *clock, "-s", str(script), f"http://127.0.0.1:{port}/v1/predict", "--", str(body)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answers, refused, took, p50, p99 = map(float, printed.splitlines()[-1].split())
    rate = (answers - refused) / took * 1e6
    return f"{rate:.0f}", f"{p50 / 1000:.1f} ms", f"{p99 / 1000:.1f} ms", round(refused)


def body_of(image: bytes, field: str = "files", name: str = "a.jpg") -> bytes:
    """Return the body of a request with one image."""
    head = f'--galvote\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + image + b"\r\n--galvote--\r\n"


def request_of(image: bytes, path: str = "/v1/predict", field: str = "files", name: str = "a.jpg") -> bytes:
    """Return a whole request with one image."""
    return post(body_of(image, field, name), FORM, path=path)


def post(body: bytes, kind: str, announced: int | None = None, path: str = "/v1/predict") -> bytes:
    """Return a whole request, which may lie about its length."""
    length = len(body) if announced is None else announced
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def counts(port: int) -> tuple[float, float]:
    """Return how often networks have run, and over how many galaxies all in all."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(values["galvote_batch_galaxies_count"]), float(values["galvote_batch_galaxies_sum"])


if __name__ == "__main__":
    main()
