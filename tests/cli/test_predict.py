"""`galvote predict` and `galvote evaluate --model`, run as a user runs them."""

import csv
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galvote.io import read_table
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def some(simulated, tmp_path) -> Path:
    """Return a folder of four pictures, one of which is none."""
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted((simulated / "images_training").glob("*.jpg"))[:3]:
        (folder / path.name).symlink_to(path)
    (folder / "broken.jpg").write_bytes(b"not a picture")
    return folder


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_a_catalogue_in_any_format(command, trained, some, tmp_path, ending):
    out = tmp_path / "field[r]" / f"votes{ending}"  # brackets are Rich's markup, too
    ran = command("predict", some, "--model", trained, "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert f"4 galaxies in {out}: 3 ok, 1 not-an-image\n" in ran.stderr
    table = read_table(out)
    assert table.column_names == ["id", "status", "reason", *GZ2.columns]
    assert len(table) == 4
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows.keys() == {"100000", "100001", "100002", "broken"}
    assert rows["broken"]["status"] == "not-an-image"
    assert rows["broken"]["reason"]
    assert rows["broken"]["Class1.1"] is None
    first = [rows["100000"][f"Class1.{i}"] for i in (1, 2, 3)]
    assert sum(first) == pytest.approx(1, abs=1e-5)


def test_a_table_without_ids_is_joined_by_position(command, trained, some, tmp_path):
    paths = sorted(some.glob("1*.jpg"))
    rows = [f"{path.stem},{path},{150 + place},2\n" for place, path in enumerate(paths)]
    (tmp_path / "list.csv").write_text("id,source,ra,dec\n" + "".join(rows))
    (tmp_path / "sky.csv").write_text("RA,Dec,z\n152.0001,2,0.1\n150,2.0001,0.2\n160,2,0.3\n")
    out = tmp_path / "votes.csv"
    ran = command(
        "predict", tmp_path / "list.csv", "--model", trained, "--join", tmp_path / "sky.csv", "--out", out
    )
    assert ran.returncode == 0, ran.stderr
    assert "By position, 2 of 3 rows match" in " ".join(ran.stderr.split())
    table = read_table(out)
    assert table["z"].to_pylist() == [0.1, 0.2, 0.3]
    assert [galaxy and str(galaxy) for galaxy in table["id"].to_pylist()] == ["100002", "100000", None]
    assert table["status"].to_pylist() == ["ok", "ok", "missing"]


def test_ids_that_were_numbers_are_the_same_everywhere(command, trained, some, tmp_path):
    (tmp_path / "t.csv").write_text("GalaxyID,z\n100000.0,0.1\n100002.0,0.2\n100002,0.3\n")
    pq.write_table(
        pa.table({"GalaxyID": [100000.0, 100002, 100002], "z": [0.1, 0.2, 0.3]}), tmp_path / "t.parquet"
    )
    for name in ("t.csv", "t.parquet"):
        out = tmp_path / "votes.csv"
        ran = command(
            "predict", some, "--model", trained, "--join", tmp_path / name, "--out", out, "--overwrite"
        )
        said = " ".join(ran.stderr.split())
        assert ran.returncode == 0 and "3 rows, ids from `GalaxyID`" in said, said
        assert "1 row with an id that was there before" in said
        table = read_table(out)
        assert table["GalaxyID"].to_pylist() == ["100000", "100002", "100002"]
        assert table["status"].to_pylist() == ["ok"] * 3
    refused = command(
        "predict", some, "--model", trained, "--ids", tmp_path / "t.csv", "--out", tmp_path / "i.csv"
    )
    assert refused.returncode == 2 and "1 id more than once: 100002" in refused.stderr
    (tmp_path / "none.csv").write_text("id\n")
    none = command(
        "predict", some, "--model", trained, "--ids", tmp_path / "none.csv", "--out", tmp_path / "n.csv"
    )
    assert none.stderr.rstrip().endswith(f"0 galaxies in {tmp_path / 'n.csv'}"), none.stderr
    (tmp_path / "more.csv").write_text("id\n100000\nother\n")
    more = command(
        "predict", some, "--model", trained, "--ids", tmp_path / "more.csv", "--out", tmp_path / "m.csv"
    )
    assert "There is no image of 1 of 2 ids" in " ".join(more.stderr.split())


def test_a_column_of_ids_that_some_tables_have(command, trained, some, tmp_path):
    rows = [f"x{path.stem},{path.stem},{path}\n" for path in sorted(some.glob("1*.jpg"))]
    (tmp_path / "list.csv").write_text("id,Name,source\n" + "".join(rows))
    (tmp_path / "t.csv").write_text("objid,z\n100000,0.1\n")
    run = ("predict", tmp_path / "list.csv", "--model", trained)
    run += ("--join", tmp_path / "t.csv", "--out", tmp_path / "votes.csv")
    assert command(*run, "--id-column", "name").returncode == 0
    assert read_table(tmp_path / "votes.csv")["status"].to_pylist() == ["ok"]
    refused = command(*run, "--id-column", "nmae", "--overwrite")
    assert refused.returncode == 2
    assert "No table has a column 'nmae'; their columns of ids are id, objid" in " ".join(
        refused.stderr.split()
    )
    ran = command(*run[:4], "--id-column", "name", "--out", tmp_path / "shards")
    assert ran.returncode == 0
    assert read_table(tmp_path / "shards")["id"].to_pylist() == ["100000", "100001", "100002"]


def test_a_run_that_predicts_nothing_fails(command, trained, some, tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "broken.jpg").write_bytes(b"not a picture")
    (tmp_path / "votes.csv").write_text("id,Class1.1,Class1.2,Class1.3\nbroken,1,0,0\n")
    broken, out = ("predict", tmp_path / "none", "--model", trained), ("--out", tmp_path / "out.csv")
    assert command(*broken, *out).returncode == 1
    assert read_table(tmp_path / "out.csv")["status"].to_pylist() == ["not-an-image"]
    assert command(*broken, "--out", tmp_path / "shards").returncode == 1
    assert command("shards", tmp_path / "shards").returncode == 1
    assert command("pack", tmp_path / "none", "--out", tmp_path / "store").returncode == 1
    (tmp_path / "others.csv").write_text("id\n7\n")
    joined = ("--join", tmp_path / "others.csv", "--overwrite")
    assert command("predict", some, "--model", trained, *joined, *out).returncode == 1
    votes = ("--votes", tmp_path / "votes.csv")
    assert command("evaluate", "--model", trained, "--images", tmp_path / "none", *votes).returncode == 2


def test_ids_that_a_format_cannot_hold_are_refused_before_the_work(command, trained, some, tmp_path):
    (some / "a\x01b.jpg").symlink_to(next(some.glob("1*.jpg")))
    refused = command("predict", some, "--model", trained, "--out", tmp_path / "votes.vot")
    assert refused.returncode == 2 and "predicting" not in refused.stderr
    assert "id: its text has control characters" in " ".join(refused.stderr.split())


def test_the_installed_command(trained, some, tmp_path):
    out = tmp_path / "votes.csv"
    arguments = ["predict", some, "--model", trained / "best", "--out", out, "--tta", "2"]
    subprocess.run([Path(sys.executable).with_name("galvote"), *arguments], check=True, capture_output=True)
    assert len(read_table(out)) == 4


def test_a_submission_has_the_ids_asked_for_and_no_others(command, trained, simulated, tmp_path):
    ids, out = tmp_path / "ids.csv", tmp_path / "submission.csv"
    ids.write_text("GalaxyID\n100031\n100004\n100017\n")
    ran = command(
        "predict", simulated / "images_training", "--model", trained, "--out", out,
        "--format", "challenge", "--ids", ids,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = out.read_text().splitlines()
    assert lines[0] == "GalaxyID," + ",".join(GZ2.columns)
    assert lines[0].startswith("GalaxyID,Class1.1,Class1.2,Class1.3,Class2.1,")
    rows = list(csv.reader(lines[1:]))
    assert [row[0] for row in rows] == ["100031", "100004", "100017"]
    values = np.array([row[1:] for row in rows], dtype=float)
    assert values.shape == (3, 37)
    assert (values >= 0).all() and (values <= 1).all()


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_a_calibrated_model_gives_intervals_in_any_format(command, calibrated, some, tmp_path, ending):
    out = tmp_path / f"votes{ending}"
    ran = command("predict", some, "--model", calibrated, "--out", out, "--level", 0.8)
    assert ran.returncode == 0, ran.stderr
    table = read_table(out)
    ends = [f"{column}_{end}" for column in GZ2.columns for end in ("low", "high")]
    assert table.column_names == ["id", "status", "reason", "ood", "ood_score", *GZ2.columns, *ends]
    rows = {row["id"]: row for row in table.to_pylist()}
    assert {rows["broken"][name] for name in ("Class1.1", *ends)} == {None}
    assert ending == ".fits" or rows["broken"]["ood"] is None  # FITS has no missing booleans
    for name in ("100000", "100001", "100002"):
        assert rows[name]["ood"] in (True, False)
        for column in GZ2.columns:
            low, high = rows[name][f"{column}_low"], rows[name][f"{column}_high"]
            assert 0 <= low <= rows[name][column] <= high <= 1


def test_a_level_needs_a_calibrated_model_and_lies_between_0_and_1(
    command, trained, calibrated, some, tmp_path
):
    out = tmp_path / "votes.csv"
    ran = command("predict", some, "--model", trained, "--out", out, "--level", 0.9)
    assert ran.returncode == 2
    assert "not calibrated" in ran.stderr and "`galvote calibrate`" in ran.stderr
    ran = command("predict", some, "--model", calibrated, "--out", out, "--level", 90)
    assert ran.returncode == 2
    assert "between 0 and 1" in ran.stderr
    assert not out.exists()


def test_a_submission_has_no_intervals(command, calibrated, simulated, tmp_path):
    out = tmp_path / "submission.csv"
    ran = command(
        "predict", simulated / "images_training", "--model", calibrated, "--out", out,
        "--format", "challenge", "--level", 0.5,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert out.read_text().splitlines()[0] == "GalaxyID," + ",".join(GZ2.columns)


def test_an_id_without_picture_is_an_error(command, trained, some, tmp_path):
    ids = tmp_path / "ids.csv"
    ids.write_text("GalaxyID\n100000\n999999\n")
    ran = command("predict", some, "--model", trained, "--out", tmp_path / "out.csv", "--ids", ids)
    assert ran.returncode == 2
    assert "no image of 1 of 2 ids" in ran.stderr and "999999" in ran.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_submission_with_a_hole_is_refused(command, trained, some, tmp_path):
    out = tmp_path / "out.csv"
    ran = command("predict", some, "--model", trained, "--out", out, "--format", "challenge")
    assert ran.returncode == 2
    assert "1 images cannot be read: broken (" in ran.stderr
    assert not out.exists()


def test_a_catalogue_that_is_there_stays(command, trained, some, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("precious")
    ran = command("predict", some, "--model", trained, "--out", out)
    assert ran.returncode == 2
    assert "--overwrite" in ran.stderr
    assert out.read_text() == "precious"
    ran = command("predict", some, "--model", trained, "--out", out, "--overwrite")
    assert ran.returncode == 0, ran.stderr
    assert len(read_table(out)) == 4


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_loaded(command, tmp_path):
    (tmp_path / "afile").write_text("precious")
    out = tmp_path / "afile" / "votes.csv"
    ran = command("predict", tmp_path, "--model", tmp_path / "none", "--out", out)
    assert ran.returncode == 2
    assert f"{out} cannot be written" in ran.stderr and "choose another path" in ran.stderr


def test_a_stopped_run_to_one_file_says_what_is_there(trained, tmp_path):
    pytest.importorskip("aiohttp")
    server, out = socket.create_server(("127.0.0.1", 0)), tmp_path / "votes.csv"  # which never answers
    address = f"http://127.0.0.1:{server.getsockname()[1]}/slow.jpg"
    (tmp_path / "list.csv").write_text(f"id,source\nslow,{address}\n")
    arguments = ["predict", tmp_path / "list.csv", "--model", trained, "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "galvote", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    server.settimeout(60)
    with server, server.accept()[0]:  # the picture is read
        process.send_signal(signal.SIGINT)
    said = " ".join(process.communicate(timeout=60)[1].split())
    assert process.returncode == 130
    assert (
        f"Stopped; {out} is not written. Into a folder, as in --out votes/, the same command goes on" in said
    )
    assert not out.exists()


def test_no_such_model_or_place(command, trained, some, tmp_path):
    ran = command("predict", some, "--model", tmp_path / "none", "--out", tmp_path / "out.csv")
    assert ran.returncode == 2
    assert "No model at" in ran.stderr
    ran = command("predict", tmp_path / "none", "--model", trained, "--out", tmp_path / "out.csv")
    assert ran.returncode == 2
    assert "no file or folder" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "NAME.jpg", "--out", "o.csv"),
        ("predict", "a.jpg", "--ids", "NAME.csv", "--out", "o.csv"),
        ("predict", "--catalogue", "NAME.csv", "--field", "f.fits", "--out", "o.csv"),
        ("pack", "a.jpg", "--out", "NAME"),
        ("pack", "a.jpg", "--out", "NAME/store"),
    ],
)
def test_what_the_system_refuses_is_one_message(command, simulated, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    image = next((simulated / "images_training").iterdir())
    (tmp_path / "a.jpg").write_bytes(image.read_bytes())
    ran = command(*(argument.replace("NAME", "a" * 300) for argument in arguments))
    assert ran.returncode == 2
    assert "File name too long" in ran.stderr and "a" * 300 in ran.stderr.replace("\n", "")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("out", [("--out", "-"), ("--out=-",)])
def test_standard_output_is_refused(command, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    ran = command("predict", "a.jpg", *out)
    assert ran.returncode == 2 and "not to standard output; name one" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_folders_inside_folders_and_arrays(command, trained, simulated, tmp_path):
    folder = tmp_path / "all" / "inside"
    folder.mkdir(parents=True)
    image = next((simulated / "images_training").iterdir())
    (folder / "a.jpg").write_bytes(image.read_bytes())
    (folder / "._a.jpg").write_bytes(b"fork")
    ran = command("predict", tmp_path / "all", "--recursive", "--model", trained, "--out", tmp_path / "o.csv")
    assert ran.returncode == 0, ran.stderr
    assert "1 galaxy; 1 file passed over (1 ._*); ids from file names" in ran.stderr
    assert read_table(tmp_path / "o.csv")["id"].to_pylist() == ["inside/a"]
    pixels = np.zeros((2, 60, 60, 3), np.uint8)
    np.savez(tmp_path / "two.npz", one=pixels, other=pixels[:1])
    arrays = ("predict", tmp_path / "two.npz", "--model", trained, "--out", tmp_path / "p.csv")
    refused, ran = command(*arrays), command(*arrays, "--dataset", "other")
    assert refused.returncode == 2 and "name one with --dataset" in refused.stderr
    assert ran.returncode == 0 and "ids are the rows' numbers, from 0" in ran.stderr


def test_a_model_is_scored_end_to_end(command, trained, simulated):
    ran = command(
        "evaluate", "--model", trained / "last", "--images", simulated / "images_training",
        "--votes", simulated / "training_solutions.csv",
        "--splits", simulated / "splits.csv", "--split", "validation", "--json",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["galaxies"] == 15
    assert len(found["questions"]) == 11
    assert found["tree_violations"]["galaxies"] == 0
    with (trained / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert found["rmse"] == pytest.approx(float(last["validation_rmse"]), abs=3e-3)


def test_predictions_score_the_same_as_their_model(command, trained, simulated, tmp_path):
    out = tmp_path / "votes.parquet"
    images, votes = simulated / "images_training", simulated / "training_solutions.csv"
    assert command("predict", images, "--model", trained, "--out", out).returncode == 0
    by_file = command("evaluate", "--predictions", out, "--votes", votes, "--json")
    by_model = command("evaluate", "--model", trained, "--images", images, "--votes", votes, "--json")
    assert json.loads(by_file.stdout)["rmse"] == pytest.approx(json.loads(by_model.stdout)["rmse"], abs=1e-6)
    assert isinstance(read_table(out), pa.Table)
