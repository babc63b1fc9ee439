"""A real `galvote serve` process on the loopback address."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

Server = tuple[subprocess.Popen[str], str]


@pytest.fixture
def start(calibrated: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    started = list[subprocess.Popen[str]]()

    def run(*options: str, **environment: str) -> Server:
        process = subprocess.Popen(
            [sys.executable, "-m", "galvote", "serve", "--port", "0", "--model", str(calibrated), *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        started.append(process)
        assert process.stderr
        for line in process.stderr:
            said = json.loads(line) if line.startswith("{") else {}
            if said.get("event") == "listening":
                url = said["url"]
            if said.get("event") == "Application startup complete.":
                return process, url
        raise AssertionError(f"ended with {process.wait()}")

    yield run
    for process in started:
        process.kill()
        process.communicate()


def talk(url: str, data: bytes, seconds: float) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_it_starts_answers_and_stops_when_told(start, spiral):
    process, url = start(OMP_NUM_THREADS="1")
    assert url.startswith("http://127.0.0.1:")
    with httpx2.Client(base_url=url, timeout=30) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.post("/v1/predict", files={"files": ("a.jpg", spiral)})
        assert answer.json()["galaxies"][0]["status"] == "ok"
        # What uvicorn itself would answer in plain text, or never.
        assert b'"malformed"' in talk(url, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 10)
        assert client.get("/healthz").status_code == 200
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert '"event": "stopped"' in said


def test_a_request_that_is_open_is_answered_before_the_end(start, spiral):
    process, url = start(OMP_NUM_THREADS="1")
    boundary = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    body = boundary + spiral + b"\r\n--b--\r\n"
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + body[:1000])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[1000:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert process.wait(timeout=30) == 0


def test_slow_uploads_and_headers_are_given_up(start):
    _, url = start("--timeout", "1", OMP_NUM_THREADS="1")
    head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nab"
    assert talk(url, head, 10).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    unfinished = talk(url, b"GET /healthz HTTP/1.1\r\nHost:", 10)
    assert unfinished.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b'"timeout"' in unfinished


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
