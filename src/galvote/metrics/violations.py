"""Whether predictions obey the tree."""

from galvote.metrics.comparison import Comparison
from galvote.metrics.registry import register_metric
from galvote.trees import find_violations


@register_metric("tree_violations")
def _tree_violations(compared: Comparison) -> dict[str, int | float]:
    """Count the galaxies whose predictions break the tree.

    How many ``galaxies`` there are, and the ``largest`` distance of a question's sum from the share that was
    asked it.
    """
    found = find_violations(compared.tree, compared.predicted[compared.scored_galaxies])
    return {"galaxies": int(found.galaxies.sum()), "largest": float(found.off_tree.max())}
