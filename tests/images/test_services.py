"""Cutout services that misbehave in every way that is known of; none of them is on the network."""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
import simplejpeg

from galvote.errors import GalvoteError, ImageError
from galvote.images import decode_image
from galvote.images.services import CutoutService

IMAGE = np.random.default_rng(1).integers(0, 255, (424, 424, 3), dtype=np.uint8)
JPEG = simplejpeg.encode_jpeg(IMAGE, quality=50, colorspace="RGB")
BLANK = simplejpeg.encode_jpeg(np.zeros_like(IMAGE), colorspace="RGB")

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(
    body: bytes = JPEG, code: int = 200, kind: str = "image/jpeg", length: int | None = -1, **headers: str
) -> Answer:
    """Return an answer; `length` is what is announced, by default the truth, None to say nothing."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def slow(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    answer()(handler)


def drip(handler: BaseHTTPRequestHandler) -> None:
    answer(JPEG[:10], length=len(JPEG))(handler)
    for byte in range(20):
        time.sleep(0.05)
        handler.wfile.write(JPEG[10 + byte : 11 + byte])
        handler.wfile.flush()


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


class Server(ThreadingHTTPServer):
    """Gives the answers of its list, the last of them for ever, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[Answer] = [answer()]
        self.asked = list[dict[str, str]]()
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cutout"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.asked.append(dict(parse_qsl(urlsplit(self.path).query)))
            give = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        with suppress(OSError):
            give(self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def service(server: Server, tmp_path: Path) -> CutoutService:
    return impatient(tmp_path / "cache", server.url)


def impatient(cache: Path, url: str, **settings: object) -> CutoutService:
    wanted = {"rate": 1000.0, "timeout": 5.0, "attempts": 3, "pause": 0.01} | settings
    return CutoutService("sdss", cache, url, **wanted)


def readers(
    service: CutoutService, count: int = 1, r90: float = 5.0
) -> list[Callable[[], tuple[bytes, ...]]]:
    return service.images(np.arange(count, dtype=float), np.zeros(count), np.full(count, r90))


def failure(read: Callable[[], tuple[bytes, ...]]) -> tuple[str, str]:
    with pytest.raises(ImageError) as failed:
        read()
    return failed.value.status, failed.value.reason


def kept(service: CutoutService) -> list[Path]:
    return [path for path in service.cache.rglob("*") if path.is_file()]


def test_addresses_ask_for_a_gz2_frame(tmp_path: Path) -> None:
    sdss = CutoutService("sdss", tmp_path).address(150.12345678, -1.5, 5.0)
    assert sdss.startswith("https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout/getjpeg?")
    assert dict(parse_qsl(urlsplit(sdss).query)) == {
        "ra": "150.1234568",
        "dec": "-1.5000000",
        "scale": "0.1",  # 0.02 of r90
        "width": "424",
        "height": "424",
    }
    legacy = CutoutService("legacy", tmp_path).address(0.0, 90.0, 12.0)
    assert legacy.startswith("https://www.legacysurvey.org/viewer/cutout.jpg?")
    assert dict(parse_qsl(urlsplit(legacy).query)) == {
        "ra": "0.0000000",
        "dec": "90.0000000",
        "layer": "ls-dr10",
        "pixscale": "0.24",
        "size": "424",
    }
    other = CutoutService("legacy", tmp_path, "http://mirror/cutout.jpg?layer=sdss").address(0.0, 0.0, 1.0)
    assert urlsplit(other).netloc == "mirror"
    assert "layer=sdss" in other
    assert "ls-dr10" not in other


def test_a_picture_is_fetched_once(server: Server, service: CutoutService) -> None:
    [read] = readers(service)
    assert read() == (JPEG,)
    assert read() == (JPEG,)
    assert readers(impatient(service.cache, server.url))[0]() == (JPEG,)
    assert len(server.asked) == 1
    assert server.asked[0]["scale"] == "0.1"
    [path] = kept(service)
    assert path.read_bytes() == JPEG


HTTP_DATE = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    "first",
    [
        answer(b"oh no", 500),
        answer(b"", 503, Retry_After="0"),
        answer(b"", 429, Retry_After=HTTP_DATE),
        answer(b"", 429, Retry_After="soon"),
        answer(JPEG[:-3000], length=len(JPEG)),
        answer(JPEG[:-3000]),
        answer(JPEG[:-3000], length=None),
        answer(b"<html>down for maintenance</html>", kind="text/html"),
        answer(b""),
        hang_up,
    ],
    ids=["500", "503", "date", "nonsense", "short", "truncated", "no-length", "html", "empty", "hang-up"],
)
def test_what_goes_wrong_once_is_tried_again(server: Server, service: CutoutService, first: Answer) -> None:
    server.answers = [first, answer()]
    assert readers(service)[0]() == (JPEG,)
    assert len(server.asked) == 2
    assert len(kept(service)) == 1


@pytest.mark.parametrize(
    ("always", "status", "reason", "asked"),
    [
        (answer(b"", 404), "missing", "it answers 404 Not Found", 1),
        (answer(b"", 410), "missing", "it answers 410 Gone", 1),
        (answer(b"", 400), "unavailable", "it answers 400 Bad Request", 1),
        (answer(b"", 403), "unavailable", "it answers 403 Forbidden", 1),
        (answer(b"", 500), "unavailable", "it answers 500 Internal Server Error", 3),
        (answer(b"", 429, Retry_After="100000"), "unavailable", "it answers 429 Too Many Requests", 1),
        (answer(JPEG[:500], length=9999), "unavailable", "it breaks off after 500 of 9999 bytes", 3),
        (answer(JPEG[:-99]), "unavailable", r"it sends image/jpeg, and no whole image \(truncated\)", 3),
        (answer(b"<html>", kind="text/html"), "unavailable", "it sends text/html, and no whole image", 3),
        (hang_up, "unavailable", "it cannot be reached, or breaks off", 3),
    ],
)
def test_what_stays_wrong_is_told_and_not_kept(
    server: Server, service: CutoutService, always: Answer, status: str, reason: str, asked: int
) -> None:
    server.answers = [always]
    [read] = readers(service)
    found = failure(read)
    assert found[0] == status
    assert f"127.0.0.1:{server.server_port}" in found[1]
    with pytest.raises(ImageError, match=reason):
        read()
    assert len(server.asked) == 2 * asked
    assert kept(service) == []
    server.answers = [answer()]
    assert read() == (JPEG,)


@pytest.mark.parametrize("late", [slow, drip])
def test_an_answer_that_takes_too_long_has_failed(server: Server, tmp_path: Path, late: Answer) -> None:
    service = impatient(tmp_path, server.url, timeout=0.2, attempts=2)
    server.answers = [late]
    status, reason = failure(readers(service)[0])
    assert status == "unavailable"
    assert "its answer takes more than 0.2 s" in reason
    assert len(server.asked) == 2


def test_nobody_is_there(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    status, reason = failure(readers(impatient(tmp_path, url))[0])
    assert status == "unavailable"
    assert "refused" in reason


def test_a_service_that_wants_a_pause_gets_it_from_all(server: Server, tmp_path: Path) -> None:
    service = impatient(tmp_path, server.url)
    server.answers = [answer(b"", 429, Retry_After="0.5"), answer()]
    first, second = readers(service, 2)
    start = time.monotonic()
    assert first() == (JPEG,)
    assert time.monotonic() - start >= 0.5
    server.answers = [answer(b"", 503, Retry_After="0.5"), answer()]
    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(second)
        while len(server.asked) < 3:
            time.sleep(0.01)
        time.sleep(0.1)
        start = time.monotonic()
        readers(service, 1, r90=7.0)[0]()
        assert time.monotonic() - start >= 0.2
        assert refused.result() == (JPEG,)


def test_who_waits_for_a_service_that_is_closed_waits_no_more(server: Server, tmp_path: Path) -> None:
    service = impatient(tmp_path, server.url, attempts=9, pause=20.0)
    server.answers = [answer(b"", 503, Retry_After="30")]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(failure, read) for read in readers(service, 4)]
        while not server.asked:
            time.sleep(0.01)
        start = time.monotonic()
        service.close()
        assert {future.result()[0] for future in waiting} == {"unavailable"}
    assert time.monotonic() - start < 5


def test_rate_and_number_of_connections_are_bounded(server: Server, tmp_path: Path) -> None:
    at_once = most_at_once = 0

    def linger(handler: BaseHTTPRequestHandler) -> None:
        nonlocal at_once, most_at_once
        with server.lock:
            at_once += 1
            most_at_once = max(most_at_once, at_once)
        time.sleep(0.03)
        with server.lock:
            at_once -= 1  # before the answer, after which the next one may be asked for at once
        answer()(handler)

    server.answers = [linger]
    with ThreadPoolExecutor(8) as pool:
        service = impatient(tmp_path / "a", server.url, connections=2)
        assert all(pool.map(lambda read: read(), readers(service, 12)))
        assert most_at_once == 2
        service, start = impatient(tmp_path / "b", server.url, rate=20.0), time.monotonic()
        assert all(pool.map(lambda read: read(), readers(service, 9)))
        assert time.monotonic() - start >= 8 / 20


@pytest.mark.parametrize(("code", "asked"), [(500, 30), (403, 10)])
def test_a_service_that_is_down_is_left_alone(
    server: Server, service: CutoutService, code: int, asked: int
) -> None:
    server.answers = [answer(b"", code)]
    for read in readers(service, 10):
        failure(read)
    assert len(server.asked) == asked
    status, reason = failure(readers(service, 11)[10])
    assert (status, len(server.asked)) == ("unavailable", asked)
    assert "it gave nothing for 10 galaxies before this one" in reason
    assert "Run the same again later" in reason


@pytest.mark.parametrize("well", [answer(), answer(b"", 404)], ids=["image", "404"])
def test_a_service_that_answers_now_and_then_is_asked_on(
    server: Server, service: CutoutService, well: Answer
) -> None:
    refusal = answer(b"", 403)
    server.answers = [*[refusal] * 9, well, *[refusal] * 9, answer()]
    for read in readers(service, 19):
        with suppress(ImageError):
            read()
    assert readers(service, 20)[19]() == (JPEG,)
    assert len(server.asked) == 20


def test_a_picture_of_nothing_is_outside_and_asked_for_once(server: Server, service: CutoutService) -> None:
    server.answers = [answer(BLANK)]
    [read] = readers(service)
    assert failure(read)[0] == failure(read)[0] == "outside"
    assert len(server.asked) == 1


def test_galaxies_without_place_or_size_are_not_asked_for(server: Server, service: CutoutService) -> None:
    ra, dec, r90 = np.array([np.nan, 1.0, 1.0]), np.array([0.0, 95.0, 0.0]), np.array([1.0, 1.0, np.nan])
    made = service.images(ra, dec, r90)
    assert [failure(read)[0] for read in made] == ["no-position", "no-position", "no-size"]
    assert server.asked == []


def test_a_cache_that_was_damaged_or_cannot_be_written(
    server: Server, service: CutoutService, tmp_path: Path
) -> None:
    [read] = readers(service)
    read()
    [path] = kept(service)
    path.write_bytes(JPEG[:1000])
    assert read() == (JPEG,)
    assert path.read_bytes() == JPEG
    (tmp_path / "file").write_text("no folder")
    assert readers(impatient(tmp_path / "file", server.url))[0]() == (JPEG,)


def test_another_process_asks_the_same(server: Server, service: CutoutService) -> None:
    read = pickle.loads(pickle.dumps(readers(service)[0]))
    np.testing.assert_array_equal(decode_image(read()), decode_image(JPEG))
    assert len(server.asked) == 1


def test_services_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GalvoteError, match="no survey 'hst'; choose one of sdss, legacy"):
        CutoutService("hst", tmp_path)
    with pytest.raises(GalvoteError, match="file:///pictures is no address"):
        CutoutService("sdss", tmp_path, "file:///pictures")
