"""What `galvote.finetune` shows of a model that it made."""

from __future__ import annotations

from galvote.finetuning.learning import Learned
from galvote.finetuning.writing import to_plain
from galvote.images import try_read
from galvote.images.scale import Shown
from galvote.inference.predictor import Predictor, Settings
from galvote.io import Sources
from galvote.report import choose_galaxies, draw_finetuned_page


def draw_page(
    learned: Learned, name: str, predictor: Predictor, pictures: Sources, settings: Settings
) -> str:
    """Return the page of a model of some name as HTML, with pictures that a predictor is shown."""
    result = learned.result
    scores = to_plain(result)
    galaxies = result.ids, result.out_of_fold, result.actual, result.low, result.high
    rows = {row for rows in choose_galaxies(scores, *galaxies, result.numbers).values() for row in rows}
    shown = {
        one.id: predictor.show(one, try_read(one.read), settings.scale, settings.field_of_view)
        for one in pictures.select({result.ids[row] for row in rows})
    }
    return draw_finetuned_page(
        scores,
        result.tree,
        *galaxies,
        {id_: one.cutout for id_, one in shown.items() if isinstance(one, Shown)},
        sets=learned.sets,
        numbers=result.numbers,
        title=name,
    )
