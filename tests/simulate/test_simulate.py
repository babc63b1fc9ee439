"""Simulated galaxies look like what they are, volunteers see what can be seen, and the folder is whole."""

import csv
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from galvote.errors import CatalogueError, OutputError
from galvote.images import COMPACT, decode_image, to_cutout
from galvote.simulate import SimulatedGalaxy, simulate_galaxies, write_galaxies
from galvote.simulate.render import render_galaxy
from galvote.simulate.shapes import GalaxyShape, draw_shape
from galvote.simulate.volunteers import answer_probabilities, ask_volunteers, cumulative_fractions
from galvote.trees import asked_share, find_violations, load_tree, to_conditional, to_cumulative

GZ2 = load_tree("gz2")

# A large, bright galaxy under a quiet sky: what is there can be measured.
ELLIPTICAL = GalaxyShape("elliptical", magnitude=14.5, radius=14.0, seeing=1.0, angle=30.0)
DISC = GalaxyShape("disc", magnitude=14.5, radius=14.0, seeing=1.0, angle=30.0, bulge_share=0.1)
SPIRAL = replace(DISC, arms=2, arm_strength=0.9, pitch=20.0)


@pytest.fixture(scope="module")
def galaxies() -> list[SimulatedGalaxy]:
    return list(simulate_galaxies(120, seed=3))


def image(shape: GalaxyShape, pixels: int = 128, seed: int = 1) -> np.ndarray:
    return render_galaxy(shape, np.random.default_rng(seed), pixels).astype(float)


def probability(shape: GalaxyShape, column: str) -> float:
    return float(answer_probabilities(shape)[GZ2.columns.index(column)])


def unrolled(shape: GalaxyShape, radii: np.ndarray) -> np.ndarray:
    """Brightness along circles of these radii in GZ2 pixels, 256 points each."""
    grey = image(shape).mean(axis=2)
    angle = np.arange(256) / 256 * 2 * np.pi
    x = 63.5 + radii[:, None] / 2 * np.cos(angle)
    y = 63.5 + radii[:, None] / 2 * np.sin(angle)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    dx, dy = x - left, y - top
    upper = grey[top, left] * (1 - dx) + grey[top, left + 1] * dx
    lower = grey[top + 1, left] * (1 - dx) + grey[top + 1, left + 1] * dx
    return upper * (1 - dy) + lower * dy


def axis_ratio(shape: GalaxyShape) -> float:
    """Of the second moments of the brighter part, under five skies so that no neighbour stays."""
    grey = np.median([image(shape, seed=seed).mean(axis=2) for seed in range(5)], axis=0)
    y, x = np.nonzero(grey > 0.4 * grey[60:68, 60:68].max())
    smaller, larger = np.linalg.eigvalsh(np.cov(x, y))
    return float(np.sqrt(smaller / larger))


def test_a_galaxy_depends_on_seed_and_index_alone() -> None:
    many = list(simulate_galaxies(5, seed=7))
    one = next(simulate_galaxies(1, seed=7, start=4))
    assert one.id == many[4].id == "100004"
    assert one.shape == many[4].shape
    np.testing.assert_array_equal(one.image, many[4].image)
    np.testing.assert_array_equal(one.counts, many[4].counts)
    assert not np.array_equal(one.image, next(simulate_galaxies(1, seed=8, start=4)).image)


def test_both_sizes_show_the_same_galaxy() -> None:
    for whole, compact in zip(simulate_galaxies(6, pixels=424), simulate_galaxies(6), strict=True):
        assert whole.image.shape == (424, 424, 3)
        assert compact.image.shape == (128, 128, 3)
        centre = to_cutout(whole.image, COMPACT)
        assert np.corrcoef(centre.ravel(), compact.image.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("oddity", ["ring", "arc", "disturbed", "irregular", "merger", "dust lane"])
def test_odd_galaxies_render_at_both_sizes(oddity: str) -> None:
    shape = replace(ELLIPTICAL if oddity == "arc" else DISC, oddity=oddity, odd_strength=0.9)
    centre = to_cutout(render_galaxy(shape, np.random.default_rng(1), 424), COMPACT)
    assert np.corrcoef(centre.ravel(), image(shape).ravel())[0, 1] > 0.97


def test_votes_obey_the_tree(galaxies: list[SimulatedGalaxy]) -> None:
    voted, true = (
        np.stack([getattr(one, what) for one in galaxies]) for what in ("fractions", "probabilities")
    )
    assert not find_violations(GZ2, voted).galaxies.any()
    assert not find_violations(GZ2, to_cumulative(GZ2, true)).galaxies.any()


def test_counts_and_fractions_agree(galaxies: list[SimulatedGalaxy]) -> None:
    for galaxy in galaxies:
        volunteers = galaxy.counts[GZ2.slices["smooth_or_features"]].sum()
        assert 15 < volunteers < 75
        for question in GZ2.questions[1:]:
            asked = galaxy.counts[list(GZ2.parents[question.name])].sum()
            columns = GZ2.slices[question.name]
            assert galaxy.counts[columns].sum() == asked
            # The challenge normalises "odd" to 1 although those who said "star" never saw it.
            if question.name not in ("odd", "odd_feature"):
                np.testing.assert_allclose(galaxy.fractions[columns] * volunteers, galaxy.counts[columns])


def test_nothing_is_odd_where_nobody_was_asked() -> None:
    counts = np.zeros(len(GZ2), dtype=np.int64)
    counts[GZ2.columns.index("Class1.3")] = 40
    fractions = cumulative_fractions(counts)
    assert fractions[GZ2.columns.index("Class6.2")] == 1
    assert not find_violations(GZ2, fractions[None]).galaxies.any()


def test_probabilities_sum_to_one(galaxies: list[SimulatedGalaxy]) -> None:
    probabilities = np.stack([galaxy.probabilities for galaxy in galaxies])
    assert (probabilities > 0).all()
    for columns in GZ2.slices.values():
        np.testing.assert_allclose(probabilities[:, columns].sum(axis=1), 1)


def test_a_large_crowd_finds_the_truth(galaxies: list[SimulatedGalaxy]) -> None:
    rng = np.random.default_rng(0)
    for galaxy in galaxies[:30]:
        fractions = cumulative_fractions(ask_volunteers(galaxy.probabilities, 1_000_000, rng))[None]
        truth = to_cumulative(GZ2, galaxy.probabilities[None])
        # "odd" is put to fewer volunteers where many say "star", although it is normalised to 1.
        np.testing.assert_allclose(fractions, truth, atol=0.01)
        often = np.repeat(asked_share(GZ2, truth)[0] > 0.05, [len(q.answers) for q in GZ2.questions])
        often &= ~np.isin(np.arange(len(GZ2)), np.r_[GZ2.slices["odd"], GZ2.slices["odd_feature"]])
        found = to_conditional(GZ2, fractions)[0]
        np.testing.assert_allclose(found[often], galaxy.probabilities[often], atol=0.01)


def test_the_sample_is_about_as_mixed_as_gz2() -> None:
    rng = np.random.default_rng(5)
    probabilities = np.stack([answer_probabilities(draw_shape(rng)) for _ in range(700)])
    mean = dict(zip(GZ2.columns, to_cumulative(GZ2, probabilities).mean(axis=0), strict=True))
    assert 0.4 < mean["Class1.1"] < 0.6
    assert 0.4 < mean["Class1.2"] < 0.6
    assert 0.01 < mean["Class1.3"] < 0.05
    assert 0.07 < mean["Class2.1"] < 0.18
    assert 0.15 < mean["Class6.1"] < 0.3
    assert min(mean.values()) > 0.001


@pytest.mark.parametrize("roundness", [0.3, 0.6, 0.95])
def test_ellipticals_are_as_round_as_asked(roundness: float) -> None:
    shape = replace(ELLIPTICAL, roundness=roundness)
    assert axis_ratio(shape) == pytest.approx(roundness, abs=0.08)
    roundest = np.argmax(answer_probabilities(shape)[GZ2.slices["roundness"]])
    assert roundest == {0.95: 0, 0.6: 1, 0.3: 2}[roundness]


def test_discs_flatten_as_they_tilt() -> None:
    tilts = [0.0, 30.0, 60.0, 75.0, 88.0]
    shapes = [replace(DISC, inclination=tilt, bulge_share=0.0) for tilt in tilts]
    np.testing.assert_allclose(
        [axis_ratio(shape) for shape in shapes], [shape.axis_ratio for shape in shapes], atol=0.1
    )
    assert np.all(np.diff([probability(shape, "Class2.1") for shape in shapes]) >= 0)
    assert probability(shapes[0], "Class2.1") < 0.05
    assert probability(shapes[-1], "Class2.1") > 0.9


@pytest.mark.parametrize("arms", [1, 2, 3, 4, 5, 6])
def test_spirals_have_the_arms_asked_for(arms: int) -> None:
    shape = replace(SPIRAL, arms=arms, pitch=28.0)
    rings = unrolled(shape, np.arange(24, 48, 2.0))
    waves = np.abs(np.fft.rfft(rings / rings.mean(axis=1, keepdims=True), axis=1)).sum(axis=0)
    assert np.argmax(waves[1:10]) + 1 == arms
    likeliest = np.argmax(answer_probabilities(shape)[GZ2.slices["arm_number"]])
    assert likeliest == min(arms, 5) - 1


@pytest.mark.parametrize(("pitch", "winding"), [(11.0, 0), (20.0, 1), (32.0, 2)])
@pytest.mark.parametrize("clockwise", [False, True])
def test_arms_are_wound_as_asked(pitch: float, winding: int, clockwise: bool) -> None:
    shape = replace(SPIRAL, pitch=pitch, clockwise=clockwise)
    radii = np.geomspace(18, 48, 40)
    phase = np.unwrap(np.angle(np.fft.fft(unrolled(shape, radii), axis=1)[:, 2]))
    slope = np.polyfit(np.log(radii), phase, 1)[0]
    assert np.degrees(np.arctan(2 / abs(slope))) == pytest.approx(pitch, rel=0.15)
    assert (slope > 0) == clockwise
    assert np.argmax(answer_probabilities(shape)[GZ2.slices["arm_winding"]]) == winding


def test_a_bar_shows_in_the_centre() -> None:
    def two_fold(strength: float) -> float:
        shape = replace(DISC, bar_strength=strength, bar_length=0.5, bar_angle=20.0)
        rings = unrolled(shape, np.array([10.0, 14.0, 18.0]))
        return float((np.abs(np.fft.rfft(rings, axis=1)[:, 2]) / rings.sum(axis=1)).mean())

    assert two_fold(0.0) < two_fold(0.4) < two_fold(0.9)
    assert two_fold(0.9) > 5 * two_fold(0.0)


def test_a_weak_bar_divides_the_crowd() -> None:
    votes = [probability(replace(DISC, bar_strength=strength), "Class3.1") for strength in (0.0, 0.4, 1.0)]
    assert votes[0] < 0.1 < 0.3 < votes[1] < 0.7 < 0.9 < votes[2]


@pytest.mark.parametrize(
    "hidden",
    [{"seeing": 9.0}, {"magnitude": 20.0}, {"arm_strength": 0.05}, {"inclination": 88.0}],
    ids=["blurred", "faint", "weak", "edge-on"],
)
def test_arms_that_cannot_be_seen_get_no_votes(hidden: dict[str, float]) -> None:
    assert probability(SPIRAL, "Class4.1") > 0.9
    assert probability(replace(SPIRAL, **hidden), "Class4.1") < 0.2


@pytest.mark.parametrize(("share", "answer"), [(0.0, 0), (0.1, 1), (0.4, 2), (0.9, 3)])
def test_bulges_are_as_prominent_as_asked(share: float, answer: int) -> None:
    shape = replace(DISC, bulge_share=share)
    assert np.argmax(answer_probabilities(shape)[GZ2.slices["bulge"]]) == answer
    if share:
        centre, outside = (unrolled(shape, np.array([radius])).mean() for radius in (2.0, 30.0))
        flat_centre, flat_outside = (
            unrolled(replace(DISC, bulge_share=0.0), np.array([radius])).mean() for radius in (2.0, 30.0)
        )
        assert centre / outside > flat_centre / flat_outside


@pytest.mark.parametrize(
    ("bulge", "answer"),
    [({"bulge_share": 0.4}, 0), ({"bulge_share": 0.4, "boxiness": 0.9}, 1), ({"bulge_share": 0.01}, 2)],
)
def test_bulges_of_edge_on_discs(bulge: dict[str, float], answer: int) -> None:
    shape = replace(DISC, inclination=88.0, **bulge)
    assert np.argmax(answer_probabilities(shape)[GZ2.slices["edge_on_bulge"]]) == answer


def test_bulges_are_red_and_arms_are_blue() -> None:
    shown = image(replace(SPIRAL, bulge_share=0.3, redness=0.3))
    y, x = np.mgrid[:128, :128] - 63.5
    r = np.hypot(x, y)
    centre, arms = shown[r < 3].mean(axis=0), shown[(r > 12) & (r < 18)].mean(axis=0)
    assert centre[0] / centre[2] > 1.2 * arms[0] / arms[2]


def test_a_ring_is_brighter_than_what_it_encloses() -> None:
    profile = unrolled(replace(DISC, oddity="ring", odd_strength=0.9), np.arange(16, 50, 2.0)).mean(axis=1)
    assert abs(np.arange(16, 50, 2.0)[np.argmax(profile)] - 34) <= 4


@pytest.mark.parametrize(
    ("shape", "oddity", "column"),
    [
        (DISC, "ring", "Class8.1"),
        (ELLIPTICAL, "arc", "Class8.2"),
        (DISC, "disturbed", "Class8.3"),
        (DISC, "irregular", "Class8.4"),
        (DISC, "merger", "Class8.6"),
        (replace(DISC, inclination=87.0), "dust lane", "Class8.7"),
    ],
)
def test_what_is_odd_shows_and_is_said(shape: GalaxyShape, oddity: str, column: str) -> None:
    odd = replace(shape, oddity=oddity, odd_strength=0.9)
    centre = slice(32, 96)
    changed = np.abs(image(odd) - image(shape))[centre, centre]
    assert changed.mean() > 2
    assert probability(shape, "Class6.1") < 0.2 < 0.8 < probability(odd, "Class6.1")
    assert np.argmax(answer_probabilities(odd)[GZ2.slices["odd_feature"]]) == int(column[-1]) - 1


def test_a_star_is_called_a_star() -> None:
    star = GalaxyShape("star", magnitude=13.0, radius=3.0)
    assert probability(star, "Class1.3") > 0.9
    assert image(star)[60:68, 60:68].min() > 230


def test_the_noise_is_coloured_and_stands_out_more_against_faint_galaxies() -> None:
    def noise_over_signal(magnitude: float) -> float:
        # Neighbours are rarer around a small galaxy.
        shown = image(replace(ELLIPTICAL, magnitude=magnitude, radius=6.0))
        corner = shown[:24, :24]
        return float(np.median(np.abs(corner - np.median(corner))) + 0.1) / shown[54:74, 54:74].mean()

    assert noise_over_signal(17.5) > 1.3 * noise_over_signal(15.0)
    corner = image(ELLIPTICAL)[:30, :30]
    assert 1 < corner.std() < 15
    assert np.corrcoef(corner[..., 0].ravel(), corner[..., 2].ravel())[0, 1] < 0.7


def test_bad_seeing_blurs() -> None:
    def sharpness(seeing: float) -> float:
        shown = image(replace(SPIRAL, seeing=seeing))[32:96, 32:96]
        return float(np.abs(np.diff(shown, axis=0)).mean())

    assert sharpness(0.8) > sharpness(1.6) > sharpness(3.2)


@pytest.mark.parametrize(
    "wrong", [{"pixels": 100}, {"seed": -1}, {"start": -1}, {"start": 899_999}, {"count": -1}]
)
def test_impossible_simulations_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(CatalogueError):
        simulate_galaxies(**{"count": 2} | wrong)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_the_folder_has_the_layout_of_the_challenge(tmp_path: Path) -> None:
    made = list(simulate_galaxies(4, seed=2))
    write_galaxies(tmp_path / "sim", iter(made))
    names = sorted(path.relative_to(tmp_path / "sim").as_posix() for path in (tmp_path / "sim").rglob("*.*"))
    assert names == [
        *(f"images_training/10000{i}.jpg" for i in range(4)),
        "training_solutions.csv",
        "true_fractions.csv",
        "vote_counts.csv",
    ]
    header, *rows = rows_of(tmp_path / "sim" / "training_solutions.csv")
    assert header == ["GalaxyID", *GZ2.columns]
    assert [row[0] for row in rows] == [galaxy.id for galaxy in made]
    assert not find_violations(GZ2, np.array(rows, dtype=float)[:, 1:]).galaxies.any()
    header, *rows = rows_of(tmp_path / "sim" / "true_fractions.csv")
    assert header == ["GalaxyID", *GZ2.columns]
    assert not find_violations(GZ2, np.array(rows, dtype=float)[:, 1:]).galaxies.any()
    header, *rows = rows_of(tmp_path / "sim" / "vote_counts.csv")
    assert header[:4] == [
        "objid",
        "total_votes",
        "t01_smooth_or_features_a01_smooth_count",
        "t01_smooth_or_features_a01_smooth_fraction",
    ]
    assert [row[2::2] for row in rows] == [[str(count) for count in galaxy.counts] for galaxy in made]
    decoded = decode_image((tmp_path / "sim" / "images_training" / "100001.jpg").read_bytes())
    assert np.abs(decoded.astype(float) - made[1].image).mean() < 5


def test_a_stopped_simulation_leaves_nothing(tmp_path: Path) -> None:
    def stopped() -> Iterator[SimulatedGalaxy]:
        yield from simulate_galaxies(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_galaxies(tmp_path / "sim", stopped())
    assert not list(tmp_path.iterdir())
    write_galaxies(tmp_path / "sim", simulate_galaxies(1))


def test_a_killed_simulation_can_be_replaced(tmp_path: Path) -> None:
    write_galaxies(tmp_path, simulate_galaxies(3))
    for path in tmp_path.glob("*.csv"):
        path.rename(f"{path}.partial")
    with pytest.raises(OutputError, match="--overwrite"):
        write_galaxies(tmp_path, simulate_galaxies(1))
    write_galaxies(tmp_path, simulate_galaxies(1), overwrite=True)
    assert len(list(tmp_path.rglob("*.jpg"))) == 1
    assert len(list(tmp_path.glob("*.csv"))) == 3
    assert not list(tmp_path.rglob("*.partial"))


def test_without_room_for_the_tables_nothing_is_left(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, before[1]))  # more than the image
    try:
        with pytest.raises(OutputError, match=r"sim cannot be written \(.*too large.*Make room"):
            write_galaxies(tmp_path / "sim", [*simulate_galaxies(1)] * 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "images_training").mkdir()
    mine = tmp_path / "images_training" / "100000.jpg"
    mine.write_bytes(b"mine")
    with pytest.raises(OutputError, match="no simulated galaxies"):
        write_galaxies(tmp_path, simulate_galaxies(1), overwrite=True)
    assert mine.read_bytes() == b"mine"
