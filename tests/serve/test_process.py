"""A server on the loopback address: the real process, and its protocol in this one."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from galvote.inference import Predictor
from galvote.serve import ServeSettings
from galvote.serve.run import configure_server


@pytest.fixture
def process(calibrated: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `galvote serve`; yield the process and its URL."""
    command = [sys.executable, "-m", "galvote", "serve", "--port", "0", "--model", str(calibrated)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        url = ""
        for line in process.stderr:
            logged = json.loads(line) if line.startswith("{") else {}
            url = logged.get("url", url)
            if logged.get("event") == "Application startup complete.":
                break
        else:
            raise AssertionError(f"ended with {process.wait()}")
        yield process, url
        process.kill()


@pytest.fixture
def impatient(predictor: Predictor) -> Iterator[int]:
    """Return the port of a server, in this process, that gives a request a second and has few connections."""
    settings = ServeSettings(timeout=1.0, requests=1)
    server = uvicorn.Server(configure_server([predictor], settings, spare_connections=2))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def talk(port: int, data: bytes, seconds: float = 20) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_it_answers_and_stops_when_told_after_what_is_open(process, spiral):
    server, url = process
    assert url.startswith("http://127.0.0.1:")
    with httpx2.Client(base_url=url, timeout=30) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.post("/v1/predict", files={"files": ("a.jpg", spiral)})
        assert answer.json()["galaxies"][0]["status"] == "ok"
    boundary = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    body = boundary + spiral + b"\r\n--b--\r\n"
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    port = int(url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + body[:1000])
        time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[1000:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    _, log = server.communicate(timeout=30)
    assert server.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert "stopped" in [line["event"] for line in lines]
    assert all({"time", "level", "logger"} <= set(line) for line in lines)


def test_slow_malformed_and_too_many_connections_are_refused_as_everything_else(impatient):
    upload = (
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nab"
    )
    header = b"GET /healthz HTTP/1.1\r\nHost:"
    for slow in (upload, header):
        answer = talk(impatient, slow)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b'"timeout"' in answer
    malformed = talk(impatient, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n")
    assert malformed.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b'"malformed"' in malformed
    others = [socket.create_connection(("127.0.0.1", impatient)) for _ in range(3)]
    full = talk(impatient, b"")
    assert full.startswith(b"HTTP/1.1 503 ") and b"retry-after: 2" in full and b'"busy"' in full
    for other in others:
        other.close()
    assert talk(impatient, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_public_address_without_a_token_is_warned_of(command, tmp_path):
    ran = command("serve", "--host", "0.0.0.0", "--model", tmp_path / "nothing")
    assert ran.returncode == 2
    assert "Warning" in ran.stderr and "token" in ran.stderr and "No model at" in ran.stderr
    ran = command("serve", "--host", "127.0.0.2", "--model", tmp_path / "nothing")
    assert "Warning" not in ran.stderr
    (tmp_path / "tokens").write_text("a-token-of-some-length\n")
    ran = command(
        "serve", "--host", "0.0.0.0", "--token-file", tmp_path / "tokens", "--model", tmp_path / "nothing"
    )
    assert "Warning" not in ran.stderr


def test_a_port_that_is_taken(command, calibrated):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = command("serve", "--port", taken.getsockname()[1], "--model", calibrated)
    assert ran.returncode == 2
    assert "--port" in ran.stderr
