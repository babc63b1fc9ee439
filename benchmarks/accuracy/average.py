"""Average the weights of finished runs that began with each other, into one model.

    python -m benchmarks.accuracy.average runs/first runs/again --data DATA --store STORE --out runs/averaged

Weights that training reached from each other are averaged, as of the end of each cycle of the learning rate
(Izmailov et al. 2018, arXiv:1803.05407) or of a model before and after fine-tuning (Wortsman et al. 2022,
arXiv:2109.01903). Statistics of batch normalisation are measured again, on batches of the first run's last
epoch. A run is a folder of `galvote train`, or a saved model.
"""

from pathlib import Path

import torch
from torch.optim.swa_utils import update_bn

from benchmarks import common
from galvote.models import load_model, save_model
from galvote.training import Recipe
from galvote.training.batches import make_loaders
from galvote.training.inputs import LabelFiles, read_training_data

BATCHES = 64


def main() -> None:
    options = common.parser(__doc__, "--data", "--store")
    options.add_argument("models", type=Path, nargs="+", help="folders of models, the first with its recipe")
    options.add_argument("--out", type=Path, required=True)
    chosen = options.parse_args()
    networks, cards = zip(*map(load_model, chosen.models), strict=True)
    network, card = networks[0], cards[0]
    weights = [own.state_dict() for own in networks]
    network.load_state_dict(
        {
            name: torch.stack([own[name].float() for own in weights]).mean(dim=0).to(value.dtype)
            for name, value in weights[0].items()
        }
    )
    recipe = Recipe.model_validate(card.recipe)
    votes = [chosen.data / f"{name}_solutions.csv" for name in ("training", "partial")]
    labels = LabelFiles(votes, chosen.data / "splits.csv", chosen.data / "clean_classes.csv")
    data, _ = read_training_data(recipe, chosen.store, labels, chosen.store)
    batches, last = make_loaders(recipe, data)[0].dataset, recipe.training.epochs - 1
    update_bn((batches[(last, number)] for number in range(BATCHES)), network)
    averaged = [{"name": own.name, "sha256": own.weights_sha256} for own in cards]
    card = card.model_copy(update={"data": {**card.data, "averaged": averaged}, "scores": {}})
    print(save_model(network.eval(), card, chosen.out))


if __name__ == "__main__":
    main()
