"""Galaxies by position: their images in a folder, and predictions without any."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
from astropy.io import fits
from astropy.wcs import WCS

import galvote
from galvote.cli.options import SurveyName
from galvote.errors import CatalogueError, GalvoteError
from galvote.images import decode_image
from galvote.images.services import SURVEYS, CutoutService
from galvote.inference.ray_engine import RayEngine
from galvote.io import list_sources, read_table, write_table
from galvote.io.columns import about

SCALE, SIDE = 0.4, 360
PLACES = {"g/1": (120.0, 130.0), "g2": (250.0, 220.0), "edge": (3.0, 3.0), "off": (-80.0, 10.0)}
R90 = 7.0


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a FITS cube of two galaxies on a noisy sky."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [200.0, -5.0], [180.0, 180.0]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    y, x = np.mgrid[:SIDE, :SIDE]
    light = sum(np.exp(-3.89 * np.hypot(x - u, y - v) * SCALE / R90) for u, v in list(PLACES.values())[:2])
    noise = np.random.default_rng(0).normal(size=(3, SIDE, SIDE))
    cube = np.array([50, 90, 120])[:, None, None] * light + noise
    path = tmp_path_factory.mktemp("sky") / "field.fits"
    fits.PrimaryHDU(cube.astype(np.float32), wcs.to_header()).writeto(path)
    return path


@pytest.fixture(scope="module")
def catalogue(field: Path) -> Path:
    """Return a FITS table of positions: two galaxies, one at the edge, one beyond it, one nowhere."""
    ra, dec = WCS(fits.getheader(field), naxis=2).pixel_to_world_values(*np.array(list(PLACES.values())).T)
    path = field.with_name("catalogue.fits")
    columns = [
        fits.Column("objid", "4A", array=[*PLACES, "lost"]),
        fits.Column("ra", "D", unit="deg", array=[*ra, np.nan]),
        fits.Column("dec", "D", unit="deg", array=[*dec, 0.0]),
        fits.Column("petroR90_r", "E", unit="arcsec", array=[R90] * 5),
        fits.Column("z", "E", array=[0.1, 0.2, 0.3, 0.4, 0.5]),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    table.header["TCOMM5"] = "Redshift"
    table.writeto(path)
    return path


STATUSES = ["ok", "ok", "incomplete", "outside", "no-position"]


def test_images_of_a_field_in_a_folder(command, field: Path, catalogue: Path, tmp_path: Path) -> None:
    out = tmp_path / "images"
    run = ("cutouts", "--field", field, "--catalogue", catalogue, "--id-column", "OBJID", "--out", out)
    done = command(*run)
    assert done.returncode == 0, done.stderr
    assert "5 galaxies" in done.stderr
    assert "2 ok, 1 incomplete, 1 no-position, 1 outside" in done.stderr
    table = read_table(out / "catalogue.csv")
    assert table.column_names == ["id", "source", "ra", "dec", "r90", "status", "reason"]
    assert table["id"].to_pylist() == [*PLACES, "lost"]
    assert table["source"].to_pylist() == ["g%2F1.jpg", "g2.jpg", None, None, None]
    assert table["status"].to_pylist() == STATUSES
    assert table["r90"].to_pylist() == [R90] * 5
    assert all(table["reason"].to_pylist()[2:])
    assert sorted(path.name for path in out.iterdir()) == [
        "catalogue.csv",
        "cutouts.json",
        "g%2F1.jpg",
        "g2.jpg",
    ]
    # The folder's catalogue is a list of sources for everything else.
    images = [decode_image(source.read()) for source in list_sources(out / "catalogue.csv")[:2]]
    for image in images:
        assert image.shape == (424, 424, 3)
        assert image[202:222, 202:222].mean() > 2 * image[:60].mean()

    # Again: what is there stays, what was lost is made, and another run is refused.
    first = (out / "g2.jpg").stat().st_mtime_ns
    (out / "g%2F1.jpg").unlink()
    assert command(*run).returncode == 0
    assert (out / "g2.jpg").stat().st_mtime_ns == first
    assert (out / "g%2F1.jpg").is_file()
    refused = command(*run, "--pixels", 128)
    assert refused.returncode == 2
    assert "other settings" in refused.stderr
    (out / "mine.png").write_text("precious")
    again = command(*run, "--pixels", 128, "--format", "png", "--overwrite")
    assert again.returncode == 0
    assert (out / "mine.png").read_text() == "precious"
    (out / "mine.png").unlink()
    assert sorted(path.name for path in out.iterdir()) == [
        "catalogue.csv",
        "cutouts.json",
        "g%2F1.png",
        "g2.png",
    ]
    assert decode_image((out / "g2.png").read_bytes()).shape == (128, 128, 3)


def test_another_look_or_a_changed_field_is_another_run(
    command, field: Path, catalogue: Path, tmp_path: Path
) -> None:
    image = tmp_path / "field.fits"
    shutil.copy(field, image)
    where = ("--field", image, "--catalogue", catalogue)
    bands = (*where, "--bands", "0")
    assert command("cutouts", *bands, "--out", tmp_path / "out").returncode == 0
    assert command("cutouts", *bands, "--out", tmp_path / "out").returncode == 0
    shards = ("--out", tmp_path / "shards", "--shard-size", 9)
    assert command("predict", *bands, *shards).returncode == 0
    for more in ((), ("--bands", "1"), ("--bands", "0", "--stretch", "asinh")):
        refused = command("cutouts", *where, *more, "--out", tmp_path / "out")
        assert refused.returncode == 2 and "other settings" in " ".join(refused.stderr.split())
        refused = command("predict", *where, *more, *shards)
        assert refused.returncode == 2 and "prediction of something else" in refused.stderr
    fits.writeto(image, fits.getdata(field)[::-1], fits.getheader(field), overwrite=True)
    refused = command("cutouts", *bands, "--out", tmp_path / "out")
    assert refused.returncode == 2 and "field that has changed" in " ".join(refused.stderr.split())


def test_a_folder_of_others_is_left_alone(command, field: Path, catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.jpg").write_text("precious")
    for more in ((), ("--overwrite",)):
        done = command("cutouts", "--field", field, "--catalogue", catalogue, "--out", tmp_path, *more)
        assert done.returncode == 2
        assert "left as it is" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious.jpg"]


def test_galaxies_without_a_size(command, field: Path, catalogue: Path, tmp_path: Path) -> None:
    table = read_table(catalogue).select(["objid", "ra", "dec"]).slice(0, 2)
    write_table(table, tmp_path / "bare.csv")
    run = ("cutouts", "--catalogue", tmp_path / "bare.csv")
    done = command(*run, "--field", field, "--out", tmp_path / "measured")
    assert done.returncode == 0, done.stderr
    assert "Sizes measured of 2 of 2 galaxies" in done.stderr
    measured = read_table(tmp_path / "measured" / "catalogue.csv")["r90"].to_pylist()
    assert measured == pytest.approx([R90, R90], rel=0.1)
    assert command(*run, "--field", field, "--arcsec", 84.8, "--out", tmp_path / "wide").returncode == 0
    assert read_table(tmp_path / "wide" / "catalogue.csv")["r90"].to_pylist() == pytest.approx([10.0, 10.0])
    for more, reason in (
        (("--survey", "sdss"), "--size-column, or one width of all images with --arcsec"),
        ((), "--field or --survey"),
        (("--field", field, "--survey", "sdss"), "--field or --survey"),
        (("--field", field, "--size-column", "size"), "no column of sizes"),
    ):
        refused = command(*run, *more, "--out", tmp_path / "none")
        assert refused.returncode == 2
        assert reason in " ".join(refused.stderr.split())
    assert not (tmp_path / "none").exists()


def test_predictions_by_position_beside_the_catalogue(
    command, field: Path, catalogue: Path, tmp_path: Path
) -> None:
    run = ("predict", "--field", field, "--catalogue", catalogue, "--model", "galvote-small")
    done = command(*run, "--out", tmp_path / "votes.fits")
    assert done.returncode == 0, done.stderr
    votes = read_table(tmp_path / "votes.fits")
    assert votes.column_names[:7] == ["objid", "ra", "dec", "petroR90_r", "z", "status", "reason"]
    assert votes["status"].to_pylist() == STATUSES
    assert votes["objid"].to_pylist() == [*PLACES, "lost"]
    smooth = votes["Class1.1"].to_pylist()
    assert all(0 <= share <= 1 for share in smooth[:2])
    assert smooth[2:] == [None] * 3
    assert about(votes.schema.field("ra"))["unit"] == "deg"
    assert about(votes.schema.field("z"))["description"] == "Redshift"
    assert "smooth" in about(votes.schema.field("Class1.1"))["description"]
    assert [path.name for path in tmp_path.iterdir()] == ["votes.fits"]

    # The same by way of images, which lose a little as JPEG but not as PNG.
    made = command(
        "cutouts", "--field", field, "--catalogue", catalogue, "--out", tmp_path / "p", "--format", "png"
    )
    assert made.returncode == 0
    command("predict", tmp_path / "p" / "catalogue.csv", "--out", tmp_path / "p.parquet", "--join", catalogue)
    by_way = read_table(tmp_path / "p.parquet")
    assert by_way.column_names == votes.column_names
    assert by_way["Class1.1"].to_pylist()[:2] == pytest.approx(smooth[:2], abs=0.02)


def test_a_field_in_numbered_parts(command, field: Path, catalogue: Path, tmp_path: Path) -> None:
    run = (
        "predict",
        "--field",
        field,
        "--catalogue",
        catalogue,
        "--out",
        tmp_path / "parts",
        "--shard-size",
        2,
    )
    assert command(*run).returncode == 0
    assert "all of them were there" in command(*run).stderr
    parts = [read_table(path) for path in sorted((tmp_path / "parts").glob("shard-*.parquet"))]
    assert [len(part) for part in parts] == [2, 2, 1]
    rows = pa.concat_tables(parts)
    assert rows["id"].to_pylist() == [*PLACES, "lost"]
    assert rows["status"].to_pylist() == STATUSES
    # They are of these positions and sizes; others are another prediction.
    refused = command(*run, "--size-column", "z")
    assert refused.returncode == 2
    assert "holds a prediction of something else" in refused.stderr


def test_python_predicts_by_position_in_one_call(field: Path, catalogue: Path, tmp_path: Path) -> None:
    where = {"catalogue": catalogue, "field": str(field), "id_column": "OBJID"}
    prediction = galvote.predict(**where)
    assert prediction.ids == (*PLACES, "lost") and prediction.status == tuple(STATUSES)
    smooth = prediction.to_arrow()["Class1.1"]
    written = galvote.predict_table(None, tmp_path / "votes.parquet", **where)
    assert written.galaxies == 5 and written.statuses["ok"] == 2
    votes = read_table(tmp_path / "votes.parquet")
    assert votes.column_names[:6] == ["objid", "ra", "dec", "petroR90_r", "z", "status"]
    assert votes["Class1.1"].to_pylist() == smooth.to_pylist()
    made = galvote.predict_shards(None, tmp_path / "shards", **where, shard_size=2)
    assert made.made == 3
    assert read_table(tmp_path / "shards")["Class1.1"].to_pylist() == smooth.to_pylist()

    # Sizes that are unknown are measured, or have one width; other columns hold them under any name.
    table = read_table(catalogue).slice(0, 2)
    write_table(table.rename_columns(["objid", "ra", "dec", "radius", "z"]), tmp_path / "sky.csv")
    said, counts = list[str](), list[tuple[int, int]]()
    where = {"catalogue": tmp_path / "sky.csv", "field": [field]}
    measured = galvote.predict(
        **where, report=said.append, on_progress=lambda done, total: counts.append((done, total))
    )
    assert "Sizes measured of 2 of 2 galaxies" in said[-1] and counts == [(1, 2), (2, 2), (2, 2)]
    named = galvote.predict(**where, size_column="radius")
    assert named.to_arrow()["Class1.1"].to_pylist() == smooth.to_pylist()[:2]
    wide = galvote.predict(**where, arcsec=R90 * 8.48)
    assert np.allclose(wide.fractions, named.fractions, atol=1e-6)
    assert np.allclose(measured.fractions, named.fractions, atol=0.2)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "Nothing to predict.*catalogue= with field="),
        ({"images": "IMAGES", "catalogue": "SKY", "field": "FIELD"}, "either images or a --catalogue"),
        ({"images": "IMAGES", "arcsec": 20.0}, "either images or a --catalogue"),
        ({"field": "FIELD"}, "Say which galaxies.*catalogue="),
        ({"catalogue": "SKY"}, "either --field or --survey"),
        ({"catalogue": "SKY", "field": "FIELD", "survey": "sdss"}, "either --field or --survey"),
        ({"catalogue": "SKY", "field": "FIELD", "recursive": True}, "are for images"),
        ({"catalogue": "SKY", "field": "FIELD", "scale": "auto"}, "are for images"),
        ({"catalogue": "SKY", "field": "FIELD", "field_of_view": 4.0}, "are for images"),
        ({"catalogue": "SKY", "field": "FIELD", "id_column": "name"}, "name"),
        ({"catalogue": "SKY", "survey": "2mass"}, "no survey '2mass'"),
    ],
)
def test_python_refuses_what_does_not_fit_together(
    given: dict[str, object], reason: str, field: Path, catalogue: Path
) -> None:
    places = {"IMAGES": field.parent, "SKY": catalogue, "FIELD": field}
    with pytest.raises(GalvoteError, match=reason):
        galvote.predict(
            **{
                word: places.get(what, what) if isinstance(what, str) else what
                for word, what in given.items()
            }
        )


def test_python_refuses_tables_that_cannot_be(field: Path, catalogue: Path, tmp_path: Path) -> None:
    out, where = tmp_path / "votes.csv", {"catalogue": catalogue, "field": field}
    for more in ({"join": catalogue}, {"ids": catalogue}, {"layout": "challenge"}):
        with pytest.raises(CatalogueError, match="are for images"):
            galvote.predict_table(None, out, **where, **more)
    assert not list(tmp_path.iterdir())


def test_ray_does_not_ask_a_survey(catalogue: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(GalvoteError, match="all ask the survey at once"):
        galvote.predict_shards(
            None, tmp_path / "shards", catalogue=catalogue, survey="sdss", engine=RayEngine()
        )


def test_a_run_in_which_no_galaxy_is_on_the_field_fails(command, field: Path, tmp_path: Path) -> None:
    (tmp_path / "sky.csv").write_text("ra;dec;r90\n10:00:00;-70:00:00;5,5\n")
    run = ("--field", field, "--catalogue", tmp_path / "sky.csv")
    for verb, out in (("cutouts", tmp_path / "images"), ("predict", tmp_path / "votes.csv")):
        ran = command(verb, *run, "--out", out)
        said = " ".join(ran.stderr.split())
        assert ran.returncode == 1 and "1 outside" in said
        assert "coordinates from `ra`, `dec`, sizes from `r90`" in said and "rows are numbered from 0" in said


def test_clashes_and_missing_places_are_told_before_any_work(
    command, field: Path, catalogue: Path, tmp_path: Path
) -> None:
    write_table(read_table(catalogue).append_column("Status", pa.array([0] * 5)), tmp_path / "c.parquet")
    write_table(read_table(catalogue).append_column("β", pa.array([0] * 5)), tmp_path / "b.parquet")
    refused = command(
        *("predict", "--field", field, "--catalogue", tmp_path / "b.parquet"),
        "--out",
        tmp_path / "votes.fits",
    )
    assert refused.returncode == 2
    assert "votes.fits: fits has no way to say one of these columns (β" in " ".join(refused.stderr.split())
    assert "predicting" not in refused.stderr
    run = ("predict", "--out", tmp_path / "votes.csv")
    for more, reason in (
        (("--field", field, "--catalogue", tmp_path / "c.parquet"), "columns Status, which predictions have"),
        (("--field", field), "--catalogue"),
        (("--catalogue", catalogue), "--field or --survey"),
        (("--survey", "sdss", "--catalogue", catalogue, "--engine", "ray"), "all ask the survey at once"),
        ((), "Nothing to predict"),
        ((tmp_path, "--field", field, "--catalogue", catalogue), "either"),
        (("--field", field, "--catalogue", catalogue, "--field-of-view", "6.0"), "are for images"),
        ((tmp_path, "--join", tmp_path / "c.parquet"), "columns Status, which predictions have"),
        ((tmp_path, "--join", catalogue, "--format", "challenge"), "leave out --join or --format"),
    ):
        refused = command(*run, *more)
        assert refused.returncode == 2, more
        assert reason in " ".join(refused.stderr.split())
    assert not (tmp_path / "votes.csv").exists()


class Service(BaseHTTPRequestHandler):
    """Pictures of noise; none where dec is 1, at the second attempt where it is 2, not now where it is 9."""

    asked: list[str]
    times: list[float]

    def do_GET(self) -> None:
        self.times.append(time.monotonic())
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        times = self.asked.count(query["dec"])
        self.asked.append(query["dec"])
        size = int(query["width"])
        bad = {"1": 404, "2": 200 if times else 500, "9": 503}
        code = bad.get(query["dec"][0], 200)
        body = simplejpeg.encode_jpeg(np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8))
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if code == 503:
            self.send_header("Retry-After", "50")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    Service.asked, Service.times = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/getjpeg"
        server.shutdown()
        thread.join()


def test_each_survey_that_is_known_can_be_asked_for() -> None:
    assert {name.value for name in SurveyName} == set(SURVEYS)


def test_images_of_a_survey(command, service: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "sky.csv"
    catalogue.write_text("id,ra,dec,r90\na,10,0,5\nb,10,1,5\nc,10,2,5\nd,10,3,\n")
    asks = (
        "--catalogue",
        catalogue,
        "--survey",
        "sdss",
        "--service-url",
        service,
        "--cache",
        tmp_path / "cache",
    )
    done = command("cutouts", *asks, "--rate", 1000, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "out" / "catalogue.csv")
    assert table["status"].to_pylist() == ["ok", "missing", "ok", "no-size"]
    assert "404" in table["reason"].to_pylist()[1]
    assert sorted(Service.asked) == ["0.0000000", "1.0000000", "2.0000000", "2.0000000"]
    assert (tmp_path / "out" / "a.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert json.loads((tmp_path / "out" / "cutouts.json").read_text())["pixels"] == 424
    # What was fetched once is not fetched again, neither for other pictures nor to predict.
    Service.asked.clear()
    assert command("cutouts", *asks, "--out", tmp_path / "small", "--pixels", 64).returncode == 0
    assert command("predict", *asks, "--out", tmp_path / "votes.csv").returncode == 0
    assert set(Service.asked) == {"1.0000000"}
    assert read_table(tmp_path / "votes.csv")["status"].to_pylist() == ["ok", "missing", "ok", "no-size"]
    asked = CutoutService("sdss", url=service, cache=tmp_path / "cache", rate=1000.0)
    prediction = galvote.predict(catalogue=catalogue, survey=asked)
    assert prediction.status == ("ok", "missing", "ok", "no-size")


def test_tasks_share_the_rate_of_a_survey(service: str, tmp_path: Path) -> None:
    (tmp_path / "sky.csv").write_text("ra,dec,r90\n" + "".join(f"10,{dec},5\n" for dec in (3, 4, 5, 6)))
    asked = CutoutService("sdss", url=service, cache=tmp_path / "cache", rate=8.0)
    where = {"catalogue": tmp_path / "sky.csv", "survey": asked, "shard_size": 2}
    galvote.predict_shards(None, tmp_path / "shards", **where, task=(1, 2))
    assert len(Service.times) == 2 and Service.times[1] - Service.times[0] > 0.2


def test_shards_share_the_rate(command, service: str, tmp_path: Path) -> None:
    (tmp_path / "sky.csv").write_text("id,ra,dec,r90\na,10,0,5\nb,10,4,5\nc,10,5,5\nd,10,6,5\n")
    asks = ("--survey", "sdss", "--service-url", service, "--cache", tmp_path / "cache")
    run = (
        "predict",
        "--catalogue",
        tmp_path / "sky.csv",
        *asks,
        "--out",
        tmp_path / "out",
        "--shard-size",
        1,
    )
    assert command(*run, "--task", "2/2").returncode == 0
    first, second = Service.times
    assert second - first > 0.9  # one process alone would ask every half second


def test_ctrl_c_does_not_wait_for_a_service(service: str, tmp_path: Path) -> None:
    (tmp_path / "sky.csv").write_text("id,ra,dec,r90\na,10,9,5\nb,10,9.5,5\n")
    asks = ("--survey", "sdss", "--service-url", service, "--cache", tmp_path / "cache")
    run = ("cutouts", "--catalogue", tmp_path / "sky.csv", *asks, "--out", tmp_path / "out")
    with subprocess.Popen(
        [sys.executable, "-m", "galvote", *map(str, run)], stderr=subprocess.PIPE
    ) as asking:
        while not Service.asked and asking.poll() is None:
            time.sleep(0.05)
        asking.send_signal(signal.SIGINT)
        _, said = asking.communicate(timeout=20)
    assert asking.returncode == 130
    assert b"The same command goes on" in said
