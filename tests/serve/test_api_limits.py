"""What the server refuses, and how; none of it ends the server."""

import asyncio
import io
import json
import logging
import re
import struct
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image
from pythonjsonlogger.json import JsonFormatter
from starlette.requests import Request

from galvote.errors import GalvoteError
from galvote.inference import Predictor
from galvote.serve import ServeSettings
from galvote.serve.batching import Batcher
from galvote.serve.run import JSON_LINES
from galvote.serve.uploads import Uploads, safe_name

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def refused(answer, code: int, status: str) -> str:
    assert answer.status_code == code, answer.text
    said = answer.json()
    assert said["schema"] == "1"
    assert said["error"]["status"] == status
    assert len(said["error"]["message"]) > 20
    return said["error"]["message"]


def send(client, *data: bytes, **parameters: object):
    files = [("files", (f"{i}.jpg", each)) for i, each in enumerate(data)]
    return client.post("/v1/predict", files=files, params=parameters)


def png_that_announces(width: int, height: int) -> bytes:
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def test_bytes(serving, spiral):
    client = serving(max_megabytes=0.05)
    assert "0.05 MB" in refused(send(client, b"x" * 60_000), 413, "too-large")
    in_pieces = client.post(
        "/v1/predict", content=(b"x" * 1000 for _ in range(60)), headers={"Content-Type": "image/jpeg"}
    )
    refused(in_pieces, 413, "too-large")
    assert send(client, spiral).status_code == 200


@pytest.mark.parametrize("kind", ["image/jpeg", "multipart/form-data; boundary=b"])
def test_a_body_takes_as_much_memory_as_is_counted(kind):
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    pieces = [bytes(100_000)] * 80
    if kind.startswith("multipart"):
        pieces = [head, *pieces, b"\r\n--b--\r\n"]
    rest = iter(pieces)

    async def receive():
        piece = next(rest, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def measure() -> tuple[int, int, int]:
        room = Uploads(ServeSettings())
        request = Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)
        tracemalloc.start()
        try:
            async with room.receive(request) as (file,):
                return len(file.data), room.held, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    size, counted, most = asyncio.run(measure())
    assert size == 8_000_000
    assert counted == sum(map(len, pieces))
    assert most < 1.25 * counted  # growing, a buffer has an eighth to spare


def test_files(serving, spiral):
    client = serving(max_files=2)
    assert send(client, spiral, spiral).status_code == 200
    assert "2 images" in refused(send(client, spiral, spiral, spiral), 413, "too-many-files")
    two = [("file", ("a", spiral)), ("file", ("b", spiral))]
    refused(client.post("/v1/explain", files=two), 413, "too-many-files")


def test_pixels(serving, spiral):
    client = serving(max_pixels=100_000)
    row = send(client, spiral).json()["galaxies"][0]
    assert row["status"] == "too-large" and "0.1 million" in row["reason"]
    for path in ("explain", "rotate", "field"):
        refused(client.post(f"/v1/{path}", files={"file": ("a", spiral)}), 413, "too-many-pixels")


def test_images_that_could_never_wait(serving, spiral):
    client = serving(queue=10)
    assert "10 that may wait" in refused(send(client, spiral, tta=16), 413, "too-many-images")


def test_a_full_queue_says_when_to_come_back(serving, spiral, monkeypatch):
    go_on = threading.Event()
    predict = Predictor.predict_features
    client = serving(queue=2)
    monkeypatch.setattr(Predictor, "predict_features", lambda *given: (go_on.wait(10), predict(*given))[1])
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(send(client, spiral))) for _ in range(2)]
    for thread in asking:
        thread.start()
    until = time.monotonic() + 10
    while (ready := client.get("/readyz")).status_code == 200 and time.monotonic() < until:
        time.sleep(0.01)
    refused(ready, 503, "busy")
    answer = send(client, spiral)
    refused(answer, 503, "busy")
    assert int(answer.headers["Retry-After"]) > 0
    health_check = re.search(r"127\.0\.0\.1:8000(/\w+)", DOCKERFILE.read_text())
    assert health_check and client.get(health_check[1]).status_code == 200
    go_on.set()
    for thread in asking:
        thread.join()
    assert [each.status_code for each in answers] == [200, 200]
    assert send(client, spiral).status_code == 200


def test_too_many_open_requests(serving, spiral, monkeypatch):
    go_on = threading.Event()
    predict = Predictor.predict_features
    client = serving(requests=1)
    monkeypatch.setattr(Predictor, "predict_features", lambda *given: (go_on.wait(10), predict(*given))[1])
    first = threading.Thread(target=send, args=(client, spiral))
    first.start()
    until = time.monotonic() + 10
    while "galvote_requests_open 1.0" not in client.get("/metrics").text and time.monotonic() < until:
        time.sleep(0.01)
    refused(send(client, spiral), 503, "busy")
    go_on.set()
    first.join()


def test_a_server_that_cannot_search_says_what_to_install(client, spiral, monkeypatch):
    monkeypatch.setattr("galvote.images.measure.find_spec", lambda name: None)
    answer = client.post("/v1/field", files={"file": ("f.jpg", spiral)})
    assert "pip install 'galvote[field]'" in refused(answer, 501, "not-installed")


def test_no_answer_in_time(serving, spiral, monkeypatch):
    predict = Predictor.predict_features
    client = serving(timeout=0.3)
    monkeypatch.setattr(Predictor, "predict_features", lambda *given: (time.sleep(0.8), predict(*given))[1])
    refused(send(client, spiral), 504, "timeout")


@pytest.mark.parametrize(
    ("parameters", "status"),
    [({"tta": 0}, "invalid"), ({"tta": 17}, "invalid"), ({"level": 1}, "invalid"),
     ({"level": "nan"}, "invalid"), ({"model": "../../etc"}, "unknown-model")],
)  # fmt: skip
def test_queries_out_of_range(client, spiral, parameters, status):
    refused(send(client, spiral, **parameters), 422, status)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [("explain", {"question": "taste"}), ("explain", {"answer": "Class99"}), ("explain", {"method": "x"}),
     ("rotate", {"steps": 7}), ("rotate", {"steps": 73}), ("field", {"limit": 0})],
)  # fmt: skip
def test_other_queries_out_of_range(client, spiral, path, parameters):
    refused(client.post(f"/v1/{path}", files={"file": ("a", spiral)}, params=parameters), 422, "invalid")


def test_bodies_that_hold_no_picture(client):
    refused(client.post("/v1/predict", json={"image": 1}), 415, "unsupported")
    refused(client.post("/v1/predict"), 415, "unsupported")
    refused(client.post("/v1/predict", data={"a": "b"}, files={}), 415, "unsupported")
    form = {"Content-Type": "multipart/form-data"}
    refused(client.post("/v1/predict", content=b"x", headers=form), 400, "malformed")
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    refused(client.post("/v1/predict", content=b"--c\r\n\r\nx", headers=form), 400, "malformed")
    short = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc'
    refused(client.post("/v1/predict", content=short, headers=form), 400, "malformed")
    refused(client.post("/v1/predict", content=b"", headers={"Content-Type": "image/png"}), 422, "no-files")


def test_paths_and_methods_that_are_not(client):
    refused(client.get("/v1/nothing"), 404, "not-found")
    refused(client.get("/v1/predict"), 405, "method")
    assert client.get("/page/..%2f..%2fapp.py").status_code == 404


def test_hostile_pictures_become_rows(client, spiral):
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    many_scans = buffer.getvalue()[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 200 + b"\xff\xd9"
    hostile = {
        "bomb": (png_that_announces(60_000, 60_000), "too-large"),
        "scans": (many_scans, "too-large"),
        "polyglot": (b"GIF89a<script>alert(1)</script>", "truncated"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not-an-image"),
        "page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image"),
        "archive": (b"PK\x03\x04" + b"\0" * 100, "not-an-image"),
        "fits": (b"SIMPLE  =" + b" " * 71 + b"NAXIS   = 9999999999" * 100, "truncated"),
        "good": (spiral + b"PK\x03\x04<script>", "ok"),
    }
    rows = send(client, *(data for data, _ in hostile.values())).json()["galaxies"]
    assert {name: row["status"] for name, row in zip(hostile, rows, strict=True)} == {
        name: status for name, (_, status) in hostile.items()
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/passwd", "passwd"), ("C:\\temp\\a.jpg", "a.jpg"), ("a\x00b\r\nc.jpg", "abc.jpg"),
     ("", "image"), ("dir/", "image"), ("\u202egpj.exe", "gpj.exe"), ("x" * 999, "x" * 200)],
)  # fmt: skip
def test_names_lose_their_paths(name, shown):
    assert safe_name(name) == shown


def test_tokens(serving, spiral):
    client = serving(tokens=("first-token-of-many", "second-token-of-many"))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first-token-of-many"}):
        answer = client.get("/v1/models", headers=headers)
        refused(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        refused(
            client.post("/v1/predict", files={"files": ("a", spiral)}, headers=headers), 401, "unauthorized"
        )
        refused(client.get("/metrics", headers=headers), 401, "unauthorized")
    for token in ("first-token-of-many", "second-token-of-many"):
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["security"] == [{"token": []}]


def test_pages_of_other_origins_may_ask_only_if_allowed(serving, client, spiral):
    own, other = {"Origin": "https://example.org"}, {"Origin": "https://example.com"}
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    open_ = serving(origins=("https://example.org",), tokens=("a-token-of-some-length",))
    assert open_.options("/v1/predict", headers=own | wanted).status_code == 200
    refused = open_.post("/v1/predict", content=spiral, headers=own)  # errors can be read, too
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert open_.options("/v1/predict", headers=other | wanted).status_code == 400
    for headers, server in ((other, open_), (own, client)):
        assert "Access-Control-Allow-Origin" not in server.get("/v1/models", headers=headers).headers


def test_settings_that_make_no_sense():
    with pytest.raises(GalvoteError, match="16 characters"):
        ServeSettings(tokens=("short",))
    with pytest.raises(GalvoteError, match="max_files, timeout"):
        ServeSettings(max_files=0, timeout=-1.0)
    with pytest.raises(GalvoteError, match="without a path"):
        ServeSettings(origins=("https://example.org/",))
    assert "secret" not in repr(ServeSettings(tokens=("a-secret-of-some-length",)))


def test_every_answer_has_the_headers_that_protect_browsers(client, spiral):
    for answer in (client.get("/healthz"), client.get("/nothing"), send(client, spiral), send(client)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy


def test_what_fails_unforeseen_is_answered_and_logged(client, spiral, monkeypatch, caplog):
    def fail(*given: object) -> None:
        raise ZeroDivisionError("secret of the picture's name")

    monkeypatch.setattr(Predictor, "predict_features", fail)
    with caplog.at_level(logging.INFO, "galvote.serve"):
        message = refused(send(client, spiral), 500, "failed")
    assert "secret" not in message
    failed = next(record for record in caplog.records if record.message == "failed")
    assert failed.request in message
    assert failed.exc_info
    monkeypatch.undo()
    assert send(client, spiral).status_code == 200


def test_logs_are_json_without_content(client, spiral, caplog):
    (options,) = JSON_LINES["formatters"].values()
    formatter = JsonFormatter(**{name: value for name, value in options.items() if name != "()"})
    with caplog.at_level(logging.INFO, "galvote.serve"):
        client.post("/v1/predict?model=tiny", files={"files": ("my-private-name.jpg", spiral)})
    (record,) = [record for record in caplog.records if record.name == "galvote.serve"]
    line = formatter.format(record)
    said = json.loads(line)
    assert said["event"] == "answered" and said["route"] == "/v1/predict" and said["code"] == 200
    assert "private" not in line and len(line) < 400


def test_many_requests_share_runs_of_the_network_and_get_their_own_numbers(serving, spiral, monkeypatch):
    from galvote.serve.examples import EXAMPLES

    client = serving(batch_wait=0.2)
    images = [path.read_bytes() for path in EXAMPLES.values()]
    alone = [send(client, image).json()["galaxies"][0]["fractions"] for image in images]
    runs = []
    predict = Predictor.predict_features
    monkeypatch.setattr(
        Predictor,
        "predict_features",
        lambda self, cutouts, views: (runs.append(len(cutouts)), predict(self, cutouts, views))[1],
    )
    together = [None] * len(images)

    def ask(i: int) -> None:
        together[i] = send(client, images[i]).json()["galaxies"][0]["fractions"]

    asking = [threading.Thread(target=ask, args=(i,)) for i in range(len(images))]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert sum(runs) == len(images)
    assert len(runs) < len(images)
    for one, other in zip(alone, together, strict=True):
        for column in one:
            assert other[column]["value"] == pytest.approx(one[column]["value"], abs=2e-5)


def test_a_batch_holds_no_more_than_it_may():
    class Count:
        weight = 2

        def __init__(self):
            self.sizes = []

        def __call__(self, items):
            self.sizes.append(len(items))
            return [item + 1 for item in items]

    task = Count()
    batcher = Batcher(1, 100, batch=8, wait=5.0)
    try:
        with batcher.reserve(20) as places:
            results = [places.put(task, i) for i in range(10)]
            assert [result.result(5) for result in results] == list(range(1, 11))
        assert max(task.sizes) <= 4 and sum(task.sizes) == 10
        assert batcher.reserved == 0
    finally:
        batcher.close()
