"""Training from files in Python, and what is said before a recipe's teachers are trained."""

from pathlib import Path

import pytest

import galvote
from galvote.errors import ModelError, TrainingError
from galvote.training import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread", "quick")


@pytest.fixture
def files(simulated, packed) -> dict[str, Path]:
    return {
        "images": packed,
        "votes": simulated / "training_solutions.csv",
        "splits": simulated / "splits.csv",
        "classes": simulated / "classes.csv",
    }


def test_python_and_the_command_line_train_the_same(tiny_recipe, files, trained, tmp_path):
    sentences, steps = list[str](), list[tuple[int, int]]()
    best = galvote.train(
        tiny_recipe,
        out=tmp_path / "run",
        report=sentences.append,
        on_progress=lambda *step: steps.append(step),
        **files,
    )
    weights = Path("last") / "weights.safetensors"
    assert best == tmp_path / "run" / "best"
    assert (tmp_path / "run" / weights).read_bytes() == (trained / weights).read_bytes()
    assert len([sentence for sentence in sentences if sentence.startswith("epoch")]) == 10
    assert "Steps: 6 an epoch, 60 in all\nWarning: after fewer" in "\n".join(sentences)
    assert "(training.epochs=167 or more) or smaller batches (training.batch_size, now 8)" in "\n".join(
        sentences
    )
    assert steps[-1] == (steps[-1][1], steps[-1][1]) and len(steps) == steps[-1][1]


def test_teachers_are_announced_before_anything_is_read(tmp_path):
    nothing = {"images": tmp_path / "nowhere", "votes": tmp_path / "nowhere.csv", "out": tmp_path / "run"}
    with pytest.raises(TrainingError) as refused:
        galvote.train("galvote-base", **nothing)
    lines = str(refused.value).splitlines()
    assert lines[0] == "galvote-base is distilled from a teacher; 5 networks are trained in turn:"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == [
        "galvote-teacher", "galvote-teacher-2", "galvote-teacher-3", "galvote-teacher-4", "galvote-base",
    ]  # fmt: skip
    assert f"{load_recipe('galvote-teacher-3').training.epochs} epochs; RMSE 0.08" in lines[3]
    assert "73 minutes" in lines[3]
    assert lines[6] == "These took about 6.0 hours of training in all, on the threads named."
    assert "--yes" in lines[7] and "--teacher" in lines[7]
    with pytest.raises(ModelError, match="nobody"):
        galvote.train("galvote-base", teacher=["galvote-base", "nobody"], **nothing)
    assert not (tmp_path / "run").exists()


def test_an_agreed_teacher_is_trained_and_a_given_one_is_not(tiny_recipe, files, trained, tmp_path):
    teacher = tmp_path / "teacher.toml"
    teacher.write_text(tiny_recipe.read_text().replace("epochs = 10", "epochs = 1"))
    settings = ["training.epochs=1", f"training.teacher_recipe={teacher}"]
    sentences = list[str]()
    galvote.train(
        tiny_recipe,
        out=tmp_path / "given",
        teacher=trained / "best",
        settings=settings,
        report=sentences.append,
        **files,
    )
    assert not any("distilled" in sentence for sentence in sentences)
    assert not (tmp_path / "given" / "teacher").exists()
    options = {"settings": settings, "train_teacher": True, "report": sentences.append}
    galvote.train(tiny_recipe, out=tmp_path / "agreed", **options, **files)
    assert (tmp_path / "agreed" / "teacher" / "last").is_dir()
    assert any(sentence.startswith("tiny is distilled from a teacher; 2 networks") for sentence in sentences)
    resumed = {"settings": settings, "resume": True}
    galvote.train(tiny_recipe, out=tmp_path / "agreed", **resumed, **files)


def test_a_recipe_that_is_its_own_teacher_is_refused(tiny_recipe, files, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(tiny_recipe.read_text() + f'teacher_recipe = "{own}"\n')
    with pytest.raises(TrainingError, match="its own teacher"):
        galvote.train(own, out=tmp_path / "run", **files)
